//! Gathers what the engine, the network and the peers say, and has it judged.

use chain_core::api::{GaveUp, RecoveryNote, ValidatorWhy, WaitingFor, Why};
use chain_core::id::{Epoch, ValidatorIx};

use super::judge::{Seen, Situation, diagnose};
use crate::driver::core::Core;
use crate::driver::report::{in_words, owed_in_words};
use crate::handle::Metric;

/// Why the ledger moves or does not, as seen from here.
pub(crate) fn diagnosis(core: &Core) -> Why {
    diagnose(&situation(core))
}

fn situation(core: &Core) -> Situation {
    let (now, view) = (core.mono_ms(), core.engine_view());
    let connections = core.network().map(|network| network.peers()).unwrap_or_default();
    let name = |ix: ValidatorIx| core.committee().get(ix).map(|one| one.name.clone()).unwrap_or_default();
    let age = |at: u64| now.saturating_sub(at);
    let seen = |ix: ValidatorIx| {
        let own = Some(ix) == core.me();
        let insight = view.insights.get(ix.index()).copied().unwrap_or_default();
        let remembered = core.watch.remembered(ix, now);
        let connection = connections.iter().find(|one| one.validator == ix);
        let health = remembered.health.as_ref();
        let heard = [insight.heard_ms.map(age), remembered.heard_ms].into_iter().flatten().min();
        Seen {
            name: name(ix),
            own,
            connected: connection.map_or(insight.connected, |one| one.connected),
            unreached: connection.and_then(|one| one.unreached),
            refused: connection.and_then(|one| one.refused.clone()),
            heard_ms: heard.filter(|_| !own),
            voted_ms: insight.voted_ms.map(age),
            lag_ms: insight.lag_ms,
            missed: insight.missed,
            round_trip_ms: remembered.round_trip_ms,
            pause_ms: if own { Some(view.pause_ms(now)) } else { health.map(|health| health.pause_ms) },
            offset: remembered.offset,
            committed: insight.committed,
            rising: remembered.rising,
            executed: if own { core.executed() } else { insight.executed },
            executing: remembered.executing,
            execution_waits: if own { core.hearsay.waits(core) } else { None },
            view: insight.view,
            asks_for: insight.asks_for,
            version: if own { Some(super::release()) } else { remembered.version },
            voting: if own { Some(view.voting) } else { health.map(|health| health.voting) },
            stated: if own {
                view.not_voting(core)
            } else {
                health.and_then(|health| health.refusal.clone())
            },
            stopped: health.is_some_and(|health| health.stopping),
            twin: match own {
                true => core.watch.twin(core.committee().faults()),
                false => connection.is_some_and(|one| one.twin),
            },
        }
    };
    Situation {
        node: core.me().map_or_else(|| "observer".to_owned(), name),
        quorum: core.committee().quorum(),
        height: view.committed,
        still_ms: age(view.progressed_ms),
        view: view.view,
        leader: view.leader.map(name).unwrap_or_default(),
        waiting_for: view
            .waiting_for
            .map(|(owed, since)| WaitingFor { what: owed_in_words(owed).to_owned(), for_ms: age(since) }),
        gave_up: view.gave_up.map(|one| GaveUp {
            view: one.view,
            leader: name(one.leader),
            why: in_words(one.why),
            ago_ms: age(one.at_ms),
        }),
        old_height: core.watch.old_height(now),
        clock_ahead_ms: core.params.clock_ahead_ms,
        timeout_ms: core.params.timeout_base_ms,
        recovery: recovery(core),
        validators: core.committee().indices().map(seen).collect(),
    }
}

/// The act of recovery that began this epoch, or that ends it as soon as its block has come; said as long as it is
/// the last thing that happened to the validator set.
pub(crate) fn recovery(core: &Core) -> Option<RecoveryNote> {
    let part = core.part();
    if let Some(recovery) = &part.ended_by {
        return Some(RecoveryNote::of(&recovery.act, false));
    }
    let before = part.committee.epoch().get().checked_sub(1).map(Epoch::new)?;
    let begun_by = core.guard(core.consensus.act(before))??;
    (begun_by.act.height == part.base.0).then(|| RecoveryNote::of(&begun_by.act, true))
}

/// The diagnosis as gauges.
#[expect(clippy::cast_precision_loss, reason = "samples are floats")]
pub(crate) fn samples(core: &Core) -> Vec<Metric> {
    let why = diagnosis(core);
    let gauge = |name, help, labels, value| Metric { name, help, counter: false, labels, value };
    let mut samples = vec![gauge(
        "progress",
        "1 while the ledger moves as seen from here, or would if there were anything to order.",
        Vec::new(),
        f64::from(u8::from(why.progress)),
    )];
    type Figure = fn(&ValidatorWhy) -> Option<f64>;
    let figures: [(&'static str, &'static str, Figure); 5] = [
        (
            "validator_state",
            "What is the matter with a validator: 0 ok; see docs/operate/stuck.md for the others.",
            |one| Some(f64::from(one.state.number())),
        ),
        ("validator_heard_ms", "Since a validator was last heard.", |one| one.heard_ms.map(|ms| ms as f64)),
        ("validator_skew_ms", "Its clock less the median of all clocks.", |one| {
            one.skew_ms.map(|ms| ms as f64)
        }),
        ("validator_vote_lag_ms", "How long after the others its votes come, on average.", |one| {
            one.vote_lag_ms.map(|ms| ms as f64)
        }),
        ("validator_round_trip_ms", "Median round trip of the last reports to it.", |one| {
            one.round_trip_ms.map(|ms| ms as f64)
        }),
    ];
    for (name, help, figure) in figures {
        for one in &why.validators {
            if let Some(value) = figure(one) {
                samples.push(gauge(name, help, vec![("validator", one.name.clone())], value));
            }
        }
    }
    samples
}
