//! Spreadsheets of licences of invented organisations, without flaws.

use chain_core::identifier::check_uscc;

const HEADINGS: [&str; 28] = [
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
const AUTHORITIES: [(&str, &str); 4] = [
    ("示例市市场监督管理局", "11320100MAXP23YC3L"),
    ("示例市生态环境局", "11320100MAX1N11L4Y"),
    ("示例市住房和城乡建设局", "11320100MAX78A442D"),
    ("示例市应急管理局", "11320100MAXEYHTT33"),
];
const CHECK_CHARACTERS: &str = "0123456789ABCDEFGHJKLMNPQRTUWXY";

/// A code of an invented company: region 320199 does not exist.
fn company(number: u64) -> String {
    let stem = format!("91320199MAX{number:06}");
    let with = |check: char| format!("{stem}{check}");
    CHECK_CHARACTERS
        .chars()
        .map(with)
        .find(|code| check_uscc(code).is_ok())
        .expect("one check character is right")
}

/// `rows` licences whose decision numbers begin with `series`.
pub fn licences(series: u64, rows: u64) -> String {
    let mut csv = HEADINGS.join(",") + "\n";
    for row in 1..=rows {
        let (authority, code) = AUTHORITIES[usize::try_from(row % 4).unwrap_or(0)];
        let number = series * 100_000 + row;
        let cells: [String; 28] = [
            format!("示例{number}商贸有限公司"),
            "法人及非法人组织".into(),
            company(number % 1_000_000),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            "食品经营许可决定书".into(),
            format!("示许〔2026〕{series:03}{row:05}号"),
            "普通".into(),
            "食品经营许可证".into(),
            format!("JY1320{number:09}"),
            "准予食品经营许可".into(),
            "2026/03/01".into(),
            "2026/03/01".into(),
            "2029/03/01".into(),
            authority.into(),
            code.into(),
            "1".into(),
            authority.into(),
            code.into(),
            String::new(),
        ];
        csv.push_str(&cells.join(","));
        csv.push('\n');
    }
    csv
}

#[cfg(test)]
mod tests {
    #[test]
    fn company_codes_obey_the_standard() {
        for number in [0, 7, 123_456, 999_999] {
            assert_eq!(chain_core::identifier::check_uscc(&super::company(number)), Ok(()));
        }
    }
}
