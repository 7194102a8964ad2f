//! `city feed`: the record log as a stream of events, to be piped into other systems.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chain_core::api::{Cursor, FEED_MAX, FeedEvent, FeedKind};
use chain_core::code::Code;

use crate::app::City;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::{files, interrupt};

/// How long the node waits for the next event before it answers that there is none.
const WAIT: Duration = Duration::from_secs(15);
/// Pause after an answer that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Read every event of the ledger, in order, one JSON object a line (CloudEvents)
///
/// Only what is final is in the feed. Every event has an id of its own and a cursor to go on after it. With --save-cursor
/// the command goes on where it ended: the cursor is saved after the lines were written, so a crash may repeat a line,
/// with the same id, and never skips one.
///
/// city feed --follow --save-cursor feed.cursor | other-program
///
/// city feed --from-height 1200 --type record
#[derive(Clone, Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct FeedArgs {
    /// Where to begin, as an event named it
    #[arg(long, value_name = "CURSOR", conflicts_with = "from_height")]
    cursor: Option<Cursor>,
    /// Begin with the first event of this block
    #[arg(long, value_name = "HEIGHT")]
    from_height: Option<u64>,
    /// Go on with new events as they come, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// File that keeps the cursor; when it exists, begin there
    #[arg(long, value_name = "FILE", conflicts_with_all = ["cursor", "from_height"])]
    save_cursor: Option<PathBuf>,
    /// Kinds of events: record, block, evidence, recovery, genesis; all unless given
    #[arg(long = "type", value_name = "KIND", value_delimiter = ',', value_parser = kind)]
    kinds: Vec<FeedKind>,
    /// Hashes of leaves in place of the leaves
    #[arg(long)]
    hashes: bool,
}

fn kind(text: &str) -> Result<FeedKind, String> {
    FeedKind::from_name(text).ok_or_else(|| {
        let known: Vec<&str> = FeedKind::ALL.iter().map(|kind| kind.name()).collect();
        format!("wants one of {}", known.join(", "))
    })
}

pub(crate) fn run(args: &FeedArgs, city: &City) -> CliResult {
    interrupt::install();
    let client = city.client()?;
    let mut cursor = match &args.save_cursor {
        Some(path) if path.exists() => Some(files::read(path)?.trim().parse::<Cursor>()?),
        _ => args.cursor,
    };
    let wanted: Vec<String> = args.kinds.iter().map(|kind| kind.event_type()).collect();
    loop {
        let events = match page(&client, args, cursor) {
            Ok(events) => events,
            Err(error) if args.follow && error.code() == Code::Unreachable => {
                city.out.warn(format!("{}; trying again", error.refusal.detail));
                if !interrupt::sleep(PAUSE) {
                    return ended(cursor);
                }
                continue;
            }
            Err(error) if error.code() == Code::Interrupted => return ended(cursor),
            Err(error) => return Err(error),
        };
        let Some(last) = events.last() else {
            if args.follow && !interrupt::asked() {
                continue;
            }
            return if interrupt::asked() { ended(cursor) } else { Ok(()) };
        };
        let next: Cursor = last.citycursor.parse()?;
        let lines = events.iter().filter(|event| wanted.is_empty() || wanted.contains(&event.event_type));
        if !print(lines)? {
            return Ok(());
        }
        keep(args.save_cursor.as_deref(), next)?;
        cursor = Some(next);
        if interrupt::asked() {
            return ended(cursor);
        }
    }
}

/// The next events, from whichever node answers. Without a cursor the height decides where to begin.
fn page(client: &Client, args: &FeedArgs, cursor: Option<Cursor>) -> CliResult<Vec<FeedEvent>> {
    let wait = if args.follow { WAIT } else { Duration::ZERO };
    let height = args.from_height.filter(|_| cursor.is_none());
    let bytes = client.get_bytes(&paths::feed(cursor.as_ref(), height, FEED_MAX, wait, !args.hashes))?;
    let malformed = |error: &dyn std::fmt::Display| {
        CliError::new(Code::MalformedJson, format!("the node's feed: {error}"))
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| malformed(&error))?;
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).map_err(|error| malformed(&error))).collect()
}

/// Writes events; false when nobody reads them any more.
fn print<'a>(events: impl Iterator<Item = &'a FeedEvent>) -> CliResult<bool> {
    let mut out = std::io::stdout().lock();
    let write = || {
        for event in events {
            serde_json::to_writer(&mut out, event)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    };
    match write() {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::internal(error)),
    }
}

fn keep(path: Option<&Path>, cursor: Cursor) -> CliResult {
    path.map_or(Ok(()), |path| files::replace(path, format!("{cursor}\n")))
}

/// Ctrl-C: says how to go on.
fn ended(cursor: Option<Cursor>) -> CliResult {
    let hint = match cursor {
        Some(cursor) => format!("go on with: city feed --follow --cursor {cursor}"),
        None => "nothing was read".to_owned(),
    };
    Err(CliError::new(Code::Interrupted, "the feed was interrupted; nothing is lost").hint(hint))
}
