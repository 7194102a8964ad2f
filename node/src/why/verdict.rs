//! The one sentence over a diagnosis, and the next step.

use chain_core::api::{Condition, ValidatorWhy, span};
use chain_core::code::Code;

use super::judge::Situation;

/// Something that is owed for this long while nothing becomes final is no hiccup: a leader that died is
/// replaced within less.
const STALLED_MS: u64 = 5_000;
/// Validators named in the sentence.
const NAMED_MAX: usize = 3;

/// The sentence, and what to do.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) progress: bool,
    pub(super) text: String,
    pub(super) next: String,
}

/// Sums up.
pub(super) fn of(situation: &Situation, validators: &[ValidatorWhy], voters: usize) -> Verdict {
    let (n, quorum) = (validators.len(), situation.quorum);
    let still = span(situation.still_ms);
    let counted = format!("{voters} of {n} validators take part, {quorum} are needed");
    let peers = || validators.iter().filter(|one| !one.own);
    let all_peers =
        |states: &[Condition]| peers().next().is_some() && peers().all(|one| states.contains(&one.state));
    let own = validators.iter().find(|one| one.own);
    let second = own.filter(|own| own.code == Some(Code::KeyInTwoPlaces) && voters < quorum);
    let (progress, text, own_next) = if let Some(own) = second {
        let text = "No progress at this node: another process has its keys".to_owned();
        (false, text, Some(own.next.as_str()))
    } else if all_peers(&[Condition::OtherChain]) {
        let text = "No progress: every other validator runs another genesis than this node".to_owned();
        (false, text, Some("compare the genesis: city genesis hash"))
    } else if all_peers(&[Condition::Unreachable, Condition::Silent]) {
        let text = "No progress: this node hears no other validator".to_owned();
        (false, text, Some("look at this node's own network and firewall first"))
    } else if voters < quorum {
        (false, format!("No progress since {still} ago: {counted}"), None)
    } else if own.is_some_and(|own| own.state == Condition::Behind) {
        (false, format!("No progress at this node, which stays behind: {counted}"), None)
    } else if let Some(waiting) = &situation.waiting_for
        && waiting.for_ms.min(situation.still_ms) >= STALLED_MS
    {
        let what = &waiting.what;
        let text = format!("No progress since {still} ago, although {counted}; owed is {what}");
        (false, text, Some("see what the leaders' logs say; one after another failing means slow disks"))
    } else {
        let height = situation.height;
        let spare = if voters == quorum { "; none of them may fail" } else { "" };
        (true, format!("Progress: block {height} became final {still} ago; {counted}{spare}"), None)
    };
    let mut bad: Vec<&ValidatorWhy> = validators.iter().filter(|one| one.state != Condition::Ok).collect();
    bad.sort_by_key(|one| std::cmp::Reverse(one.state));
    let mut text = text + ".";
    for one in bad.iter().take(NAMED_MAX) {
        let own = if one.own { " (this node)" } else { "" };
        text += &format!(" {}{own} is {}: {}.", one.name, one.state, one.reason.trim_end_matches('.'));
    }
    if bad.len() > NAMED_MAX {
        text += &format!(" {} more are not ok.", bad.len() - NAMED_MAX);
    }
    // What is wrong with a validator explains more than that something is owed.
    let next = match (progress, own_next, bad.first()) {
        (false, Some(next), None) => next.to_owned(),
        (false, Some(next), Some(_)) if all_peers(&[Condition::OtherChain]) || voters < quorum => {
            next.to_owned()
        }
        (_, _, Some(worst)) => worst.next.clone(),
        (_, _, None) => String::new(),
    };
    Verdict { progress, text, next }
}
