//! The judge outside the processes: what the vote recorders wrote, which survives every crash.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// One signed statement.
#[derive(Clone, Debug, Deserialize)]
pub struct Line {
    /// Who signed.
    pub signer: u64,
    /// `propose`, `prepare`, `commit`, `view_change` or `batch`.
    pub kind: String,
    /// The epoch.
    pub epoch: u64,
    /// View of the block, or the view asked for.
    pub view: Option<u64>,
    /// Height of the block, or of the block claimed.
    pub height: Option<u64>,
    /// Of a view change: the view of the certificate it claims.
    pub claim_view: Option<u64>,
    /// Of a batch.
    pub seq: Option<u64>,
    /// What was signed.
    pub digest: String,
}

/// The lines of a recorder; none when it never wrote. A last line cut short was never sent.
///
/// # Panics
/// When a whole line is no line of a recorder.
pub fn read(path: &Path) -> Vec<Line> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).expect("a line of the recorder")).collect()
}

/// Two statements that one honest validator never makes, if there are: two different messages for one
/// (kind, epoch, view, height), two batches for one place of a lane, a VIEW-CHANGE that claims less than
/// was claimed for the same view or less than was committed to.
pub fn double(lines: &[Line]) -> Option<String> {
    let mut once: BTreeMap<(&str, u64, u64, u64), &Line> = BTreeMap::new();
    let mut claims: BTreeMap<(u64, u64), (Option<u64>, Option<u64>)> = BTreeMap::new();
    // Views begin anew in each epoch.
    let mut committed: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for line in lines {
        let (view, height) = (line.view.unwrap_or(0), line.height.unwrap_or(0));
        match line.kind.as_str() {
            "view_change" => {
                let claim = line.claim_view.map(|claimed| (claimed, height));
                let committed = committed.get(&line.epoch).copied().filter(|(at, _)| *at < view);
                if committed > claim {
                    return Some(format!("{line:?} claims less than the COMMIT at {committed:?}"));
                }
                let claim = (line.claim_view, line.claim_view.and(line.height));
                let before = claims.entry((line.epoch, view)).or_insert(claim);
                if claim < *before {
                    return Some(format!("{line:?} claims less than {before:?} before"));
                }
                *before = claim;
                continue;
            }
            "commit" => {
                let newest = committed.entry(line.epoch).or_insert((view, height));
                *newest = (*newest).max((view, height));
            }
            _ => {}
        }
        let slot = match line.seq {
            Some(seq) => (line.kind.as_str(), line.epoch, 0, seq),
            None => (line.kind.as_str(), line.epoch, view, height),
        };
        let known = once.entry(slot).or_insert(line);
        if known.digest != line.digest {
            return Some(format!("{known:?} and {line:?}"));
        }
    }
    None
}

/// A statement that the durable record does not know of, if there is: it left too early. `record` is the
/// safety record as `city-node check` shows it.
pub fn beyond(lines: &[Line], record: &Value) -> Option<String> {
    let rank = |value: &Value| Some((value["view"].as_u64()?, value["height"].as_u64()?));
    let prepared = rank(&record["last_prepare"]);
    let certified = rank(&record["high_qc"]);
    let asked = record["vc_view"].as_u64().unwrap_or(0);
    let lane = record["lane"].as_u64();
    let unknown = |line: &&Line| {
        let at = line.view.zip(line.height);
        match line.kind.as_str() {
            "propose" | "prepare" => at > prepared,
            "commit" => at > certified,
            "view_change" => line.view.unwrap_or(0) > asked,
            "batch" => line.seq > lane,
            _ => true,
        }
    };
    lines.iter().find(unknown).map(|line| format!("{line:?} is beyond the record {record}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, view: u64, height: u64, digest: &str) -> Line {
        Line {
            signer: 1,
            kind: kind.into(),
            epoch: 0,
            view: Some(view),
            height: Some(height),
            claim_view: None,
            seq: None,
            digest: digest.into(),
        }
    }

    #[test]
    fn the_judge_notices_what_it_is_there_for() {
        let fine = [
            line("prepare", 0, 1, "a"),
            line("prepare", 0, 1, "a"),
            line("commit", 0, 1, "a"),
            line("prepare", 1, 1, "b"),
        ];
        assert_eq!(double(&fine), None);
        assert!(double(&[line("prepare", 0, 1, "a"), line("prepare", 0, 1, "b")]).is_some());
        let batch = |digest: &str| Line { seq: Some(3), ..line("batch", 0, 0, digest) };
        assert!(double(&[batch("a"), batch("b")]).is_some());
        let asks = |claim, height| Line { claim_view: claim, ..line("view_change", 2, height, "x") };
        assert_eq!(double(&[asks(Some(0), 4), asks(Some(0), 5)]), None, "it may come to know more");
        assert!(double(&[asks(Some(0), 5), asks(Some(0), 4)]).is_some());
        assert!(double(&[line("commit", 1, 9, "a"), asks(Some(1), 8)]).is_some(), "amnesia");
        assert_eq!(double(&[line("commit", 1, 9, "a"), asks(Some(1), 9)]), None);
        let later = Line { epoch: 1, ..asks(Some(0), 4) };
        assert_eq!(double(&[line("commit", 1, 9, "a"), later]), None, "another epoch, other views");
        let record = serde_json::json!({
            "last_prepare": {"view": 0, "height": 1}, "high_qc": null, "vc_view": 0, "lane": null
        });
        assert_eq!(beyond(&fine[..2], &record), None);
        assert!(beyond(&fine, &record).is_some());
        assert!(beyond(&[batch("a")], &record).is_some());
    }
}
