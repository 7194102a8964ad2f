//! What both ways in have in common: from a device, a stream and a text to readings that are durable.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chain_core::code::{Code, Refusal};

use super::message;
use super::store::{Incoming, Store, Taken};
use crate::error::CliResult;
use crate::filing::now_ms;

/// Something that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent<'a> {
    /// The device's number.
    pub(crate) device: &'a str,
    /// The stream's name.
    pub(crate) stream: &'a str,
    /// Unit that it names, a code of UN/CEFACT.
    pub(crate) unit: Option<&'a str>,
    /// What was found wrong with it already.
    pub(crate) wrong: Option<&'a Refusal>,
    /// One reading or several; see [`message`].
    pub(crate) text: &'a [u8],
}

/// What became of it: each reading, or why there is none.
pub(crate) type Answer = Result<Vec<Taken>, Refusal>;

/// The store, for one thread at a time.
pub(crate) fn lock(store: &Mutex<Store>) -> MutexGuard<'_, Store> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes everything that was sent, with one wait for the disk. All of it may be acknowledged when this returns: what is no
/// reading of a stream stands aside and is counted.
///
/// # Errors
/// As [`Store::take`]; nothing may be acknowledged then.
pub(crate) fn take(store: &Mutex<Store>, all: &[Sent<'_>]) -> CliResult<Vec<Answer>> {
    let now = now_ms();
    let mut store = lock(store);
    let (mut incoming, mut answers) = (Vec::new(), Vec::with_capacity(all.len()));
    for sent in all {
        let stream = store.find(sent.device, sent.stream);
        match readings(&store, stream, sent) {
            Ok(found) => {
                let begin = incoming.len();
                incoming.extend(found);
                answers.push(Ok(begin..incoming.len()));
            }
            Err(refusal) => {
                store.set_aside(&refusal, stream, sent.text, now)?;
                answers.push(Err(refusal));
            }
        }
    }
    let taken = if incoming.is_empty() { Vec::new() } else { store.take(&incoming, now)? };
    Ok(answers.into_iter().map(|answer| answer.map(|range| taken[range].to_vec())).collect())
}

/// The readings of something that was sent, for the stream that it names.
fn readings(store: &Store, stream: Option<usize>, sent: &Sent<'_>) -> Result<Vec<Incoming>, Refusal> {
    if let Some(refusal) = sent.wrong {
        return Err(refusal.clone());
    }
    let stream = stream.ok_or_else(|| unknown(sent.device, sent.stream))?;
    let terms = &store.declared(stream).stream.terms;
    if let Some(unit) = sent.unit.filter(|unit| *unit != terms.unit) {
        let shown = chain_core::text::shown(unit);
        let detail = format!("unit {shown}, stream {} is declared in {}", sent.stream, terms.unit);
        return Err(Refusal::new(Code::StreamNotDeclared, detail));
    }
    let readings = message::parse(sent.text, terms.scale)?;
    Ok(readings.into_iter().map(|reading| Incoming { stream, reading }).collect())
}

/// The refusal of a stream that is none of this gateway's.
pub(crate) fn unknown(device: &str, stream: &str) -> Refusal {
    let shown = chain_core::text::shown;
    let detail = format!("this gateway has no stream {} of a device {}", shown(stream), shown(device));
    Refusal::new(Code::StreamNotDeclared, detail)
}
