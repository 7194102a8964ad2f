//! Invented licences and penalties in the official columns, with the flaws that real exports have.
//!
//! Everything follows from a seed and a run number. Nobody in it exists: organisation codes carry valid check
//! characters but no registered number, and persons' numbers name a region and a century that do not exist.

use chain_core::code::Code;

use crate::commands::clerk::batch::csv_line;

/// A generated file and what must become of its rows.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// CSV text.
    pub(crate) csv: String,
    /// Code of each flawed row, by number from 1.
    pub(crate) flaws: Vec<(u64, Code)>,
}

/// The authorities of the sample city: name and code.
const AUTHORITIES: [(&str, &str); 4] = [
    ("示例市市场监督管理局", "11320100MAXP23YC3L"),
    ("示例市生态环境局", "11320100MAX1N11L4Y"),
    ("示例市住房和城乡建设局", "11320100MAX78A442D"),
    ("示例市应急管理局", "11320100MAXEYHTT33"),
];
const PLACES: [&str; 10] = ["白鹭", "晨光", "松柏", "长亭", "远山", "明湖", "青禾", "云海", "星河", "江岸"];
const TRADES: [&str; 8] = [
    "食品有限公司",
    "建筑工程有限公司",
    "商贸有限公司",
    "环保科技有限公司",
    "机械制造有限公司",
    "物流有限公司",
    "化工有限公司",
    "餐饮管理有限公司",
];
const PERMITS: [(&str, &str, &str); 5] = [
    ("食品经营许可", "普通", "食品经营许可证"),
    ("排污许可", "普通", "排污许可证"),
    ("建筑工程施工许可", "普通", "建筑工程施工许可证"),
    ("检验检测机构资质认定", "核准", "资质认定证书"),
    ("危险化学品经营许可", "普通", "危险化学品经营许可证"),
];
const LAWS: [&str; 4] = [
    "《中华人民共和国食品安全法》",
    "《中华人民共和国安全生产法》",
    "《中华人民共和国建筑法》",
    "《中华人民共和国大气污染防治法》",
];
const CONDUCT: [&str; 4] = ["未按规定公示", "超标排放", "未落实安全措施", "经营不符合标准的食品"];
const FINES: [&str; 7] = ["0.05", "0.3", "1", "1.5", "2.35", "5.0000", "12.345678"];

const SUBJECT_HEADINGS: [&str; 13] = [
    "行政相对人名称",
    "行政相对人类别",
    "行政相对人代码_1(统一社会信用代码)",
    "行政相对人代码_2(工商注册号)",
    "行政相对人代码_3(组织机构代码)",
    "行政相对人代码_4(税务登记号)",
    "行政相对人代码_5(事业单位证书号)",
    "行政相对人代码_6(社会组织登记证号)",
    "法定代表人",
    "法定代表人证件类型",
    "法定代表人证件号码",
    "证件类型",
    "证件号码",
];
const LICENCE_HEADINGS: [&str; 15] = [
    "行政许可决定文书名称",
    "行政许可决定文书号",
    "许可类别",
    "许可证书名称",
    "许可编号",
    "许可内容",
    "许可决定日期",
    "有效期自",
    "有效期至",
    "许可机关",
    "许可机关统一社会信用代码",
    "当前状态",
    "数据来源单位",
    "数据来源单位统一社会信用代码",
    "备注",
];
const PENALTY_HEADINGS: [&str; 17] = [
    "行政处罚决定书文号",
    "违法行为类型",
    "违法事实",
    "处罚依据",
    "处罚类别",
    "处罚内容",
    "罚款金额(万元)",
    "没收违法所得、没收非法财物的金额(万元)",
    "暂扣或吊销证照名称及编号",
    "处罚决定日期",
    "处罚有效期",
    "公示截止期",
    "处罚机关",
    "处罚机关统一社会信用代码",
    "数据来源单位",
    "数据来源单位统一社会信用代码",
    "备注",
];

/// One row in this many carries a flaw.
const FLAWED_ONE_IN: u64 = 12;

/// Licences of a run.
pub(crate) fn licences(seed: u64, run: u64, rows: u64) -> Sample {
    let mut random = Random::new(seed, run, 1);
    let mut csv = csv_line(SUBJECT_HEADINGS.iter().chain(&LICENCE_HEADINGS).copied());
    let mut flaws = Vec::new();
    let mut before: Option<Vec<String>> = None;
    for row in 1..=rows {
        let flaw = random.one_in(FLAWED_ONE_IN).then(|| random.below(5));
        let mut subject = random.subject();
        let (authority, code) = random.pick(&AUTHORITIES);
        let (permit, class, certificate) = random.pick(&PERMITS);
        let decided = random.day();
        let years = u32::try_from(random.pick(&[1_u64, 3, 5])).unwrap_or(1);
        let mut number = format!("示许〔2026〕{run:03}{row:05}号");
        let mut until = random.styled((decided.0 + years, decided.1, decided.2.min(28)));
        match flaw {
            Some(0) if subject.organisation => {
                subject.spoil_check();
                flaws.push((row, Code::UsccCheckChar));
            }
            Some(1) => {
                until = random.styled((decided.0 - 1, decided.1, decided.2.min(28)));
                flaws.push((row, Code::DateOrder));
            }
            Some(2) => {
                number.clear();
                flaws.push((row, Code::MissingField));
            }
            Some(3) if subject.organisation => {
                subject.code = random.person();
                flaws.push((row, Code::NaturalPersonId));
            }
            Some(4) if before.is_some() => {
                flaws.push((row, Code::DuplicateNaturalKey));
                if let Some(cells) = &before {
                    csv.push_str(&csv_line(cells.iter().map(String::as_str)));
                }
                continue;
            }
            _ => {
                if random.one_in(15) {
                    until = "2099/12/31".to_owned();
                }
                if subject.organisation && random.one_in(20) {
                    subject.widen();
                }
            }
        }
        let good = flaws.last().is_none_or(|(flawed, _)| *flawed != row);
        let decided = random.styled(decided);
        let mut cells = subject.cells(&mut random);
        cells.extend([
            format!("{permit}决定书"),
            number,
            class.to_owned(),
            certificate.to_owned(),
            format!("JY1320{run:03}{row:06}"),
            format!("准予{permit}"),
            decided.clone(),
            decided,
            until,
            authority.to_owned(),
            code.to_owned(),
            "1".to_owned(),
            authority.to_owned(),
            code.to_owned(),
            String::new(),
        ]);
        csv.push_str(&csv_line(cells.iter().map(String::as_str)));
        if good {
            before = Some(cells);
        }
    }
    Sample { csv, flaws }
}

/// Penalties of a run.
pub(crate) fn penalties(seed: u64, run: u64, rows: u64) -> Sample {
    let mut random = Random::new(seed, run, 2);
    let mut csv = csv_line(SUBJECT_HEADINGS.iter().chain(&PENALTY_HEADINGS).copied());
    let mut flaws = Vec::new();
    for row in 1..=rows {
        let flaw = random.one_in(FLAWED_ONE_IN).then(|| random.below(5));
        let subject = random.subject();
        let (authority, code) = random.pick(&AUTHORITIES);
        let day = random.day();
        let mut law = random.pick(&LAWS).to_owned();
        let (severity, kinds, mut fine, mut until) = match random.below(3) {
            0 => ("轻微", "警告", String::new(), String::new()),
            1 => (
                "一般",
                "罚款",
                random.pick(&FINES).to_owned(),
                random.styled((day.0 + 1, day.1, day.2.min(28))),
            ),
            _ => (
                "严重",
                "罚款|吊销许可证件",
                random.pick(&["50", "120.5"]).to_owned(),
                random.styled((day.0 + 3, day.1, day.2.min(28))),
            ),
        };
        let mut decided = random.styled(day);
        let mut flawed = |code| flaws.push((row, code));
        match flaw {
            Some(0) => {
                law.clear();
                flawed(Code::LegalBasisMissing);
            }
            Some(1) => {
                until = random.styled((day.0 + 4, day.1, day.2.min(28)));
                flawed(Code::PublicationTooLong);
            }
            Some(2) => {
                fine = "-0.5".to_owned();
                flawed(Code::NegativeAmount);
            }
            Some(3) => {
                fine = "1.2345678".to_owned();
                flawed(Code::AmountBelowMinorUnit);
            }
            Some(4) => {
                decided = "2026-02-30".to_owned();
                flawed(Code::BadDate);
            }
            _ if !fine.is_empty() && random.one_in(15) => fine = "１．５".to_owned(),
            _ => {}
        }
        let content =
            if kinds == "警告" { "给予警告".to_owned() } else { format!("{kinds}{fine}万元") };
        let mut cells = subject.cells(&mut random);
        cells.extend([
            format!("示罚〔2026〕{run:03}{row:05}号"),
            random.pick(&CONDUCT).to_owned(),
            "经查明，当事人存在上述行为（合成数据）。".to_owned(),
            law,
            kinds.to_owned(),
            content,
            fine,
            String::new(),
            String::new(),
            decided,
            String::new(),
            until,
            authority.to_owned(),
            code.to_owned(),
            authority.to_owned(),
            code.to_owned(),
            severity.to_owned(),
        ]);
        csv.push_str(&csv_line(cells.iter().map(String::as_str)));
    }
    Sample { csv, flaws }
}

/// Whom a row is about.
struct Subject {
    name: String,
    kind: &'static str,
    code: String,
    organisation: bool,
    person: bool,
}

impl Subject {
    fn cells(&self, random: &mut Random) -> Vec<String> {
        let mut cells = vec![String::new(); SUBJECT_HEADINGS.len()];
        cells[0].clone_from(&self.name);
        cells[1] = self.kind.to_owned();
        cells[2].clone_from(&self.code);
        let id = |cells: &mut Vec<String>, at: usize, number: String| {
            cells[at] = "身份证".to_owned();
            cells[at + 1] = number;
        };
        if self.person {
            id(&mut cells, 11, random.person());
        } else if self.organisation {
            cells[8] = "乙某".to_owned();
            id(&mut cells, 9, random.person());
        }
        cells
    }

    fn spoil_check(&mut self) {
        let last = self.code.pop();
        self.code.push(if last == Some('0') { '1' } else { '0' });
    }

    fn widen(&mut self) {
        self.code = self.code.replacen('0', "０", 1);
    }
}

/// Numbers that follow from a seed (xorshift64*, Vigna 2016): for samples, never for secrets.
struct Random(u64);

impl Random {
    fn new(seed: u64, run: u64, stream: u64) -> Self {
        let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ run.rotate_left(32) ^ stream.rotate_left(17);
        let mut random = Self(mixed | 1);
        for _ in 0..16 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        let at = self.below(from.len() as u64);
        from[usize::try_from(at).unwrap_or(0)]
    }

    /// A day between January and October 2026.
    fn day(&mut self) -> (u32, u32, u32) {
        let mut part = |limit| u32::try_from(self.below(limit)).unwrap_or(0) + 1;
        (2026, part(10), part(28))
    }

    /// A day in one of the styles of real exports.
    fn styled(&mut self, (year, month, day): (u32, u32, u32)) -> String {
        match self.below(5) {
            0 => format!("{year}-{month:02}-{day:02}"),
            1 => format!("{year}/{month:02}/{day:02}"),
            2 => format!("{year}/{month}/{day}"),
            3 => format!("{year}{month:02}{day:02}"),
            _ => format!("{year}年{month}月{day}日"),
        }
    }

    fn subject(&mut self) -> Subject {
        let place = self.pick(&PLACES);
        match self.below(10) {
            0 => Subject {
                name: "甲某".to_owned(),
                kind: "自然人",
                code: String::new(),
                organisation: false,
                person: true,
            },
            1 | 2 => Subject {
                name: format!("示例区{place}小吃店"),
                kind: "个体工商户",
                code: self.organisation("92320199MAX"),
                organisation: false,
                person: false,
            },
            _ => {
                let trade = self.pick(&TRADES);
                Subject {
                    name: format!("示例{place}{trade}"),
                    kind: "法人及非法人组织",
                    code: self.organisation("91320199MAX"),
                    organisation: true,
                    person: false,
                }
            }
        }
    }

    /// A code of GB 32100 with its check character.
    fn organisation(&mut self, start: &str) -> String {
        const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKLMNPQRTUWXY";
        let mut code = start.to_owned();
        while code.len() < 17 {
            code.push(char::from(self.pick(ALPHABET)));
        }
        let (mut sum, mut weight) = (0, 1);
        for byte in code.bytes() {
            let value = ALPHABET.iter().position(|&one| one == byte).unwrap_or(0);
            sum += value * weight;
            weight = weight * 3 % 31;
        }
        code.push(char::from(ALPHABET[(31 - sum % 31) % 31]));
        code
    }

    /// A number of GB 11643 with its check character, of a region and a time that do not exist.
    fn person(&mut self) -> String {
        const WEIGHTS: [u64; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
        let month = self.below(9) + 1;
        let order = self.below(1000);
        let digits = format!("9999991801{month:02}01{order:03}");
        let sum: u64 =
            digits.bytes().zip(WEIGHTS).map(|(byte, weight)| u64::from(byte - b'0') * weight).sum();
        let check = b"10X98765432"[usize::try_from(sum % 11).unwrap_or(0)];
        format!("{digits}{}", char::from(check))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_run_give_one_file() {
        assert_eq!(licences(7, 1, 50).csv, licences(7, 1, 50).csv);
        assert_ne!(licences(7, 1, 50).csv, licences(7, 2, 50).csv);
        assert_ne!(licences(7, 1, 50).csv, licences(8, 1, 50).csv);
        assert_eq!(penalties(7, 1, 50).csv.lines().count(), 51);
    }
}
