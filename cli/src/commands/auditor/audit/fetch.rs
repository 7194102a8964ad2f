//! Blocks from the nodes of a context: several at a time, handed out in order, no more than a few ahead.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use chain_core::api::RawBlock;
use chain_core::code::Code;
use chain_core::codec;
use chain_core::id::Height;

use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};

/// Requests under way at once.
const FETCHERS: usize = 4;
/// Heights that one fetcher takes in a row; a full block has four megabytes.
const PAGE: u64 = 8;
/// Pages held at most, those under way included.
const PAGES_MAX: u64 = 6;

/// The blocks of a range, ascending. A height that no node has is left out: the walk names it.
#[derive(Debug)]
pub(crate) struct Blocks {
    shared: Arc<Shared>,
    pages: u64,
    next: u64,
    page: std::vec::IntoIter<RawBlock>,
    failed: bool,
    fetchers: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    client: Arc<Client>,
    from: u64,
    to: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// First page that nobody fetches yet.
    claimed: u64,
    /// Pages handed out.
    taken: u64,
    ready: BTreeMap<u64, CliResult<Vec<RawBlock>>>,
    stopped: bool,
}

impl Blocks {
    /// Starts fetching the blocks from one height to another, both included.
    pub(crate) fn fetch(client: Arc<Client>, from: Height, to: Height) -> Self {
        let (from, to) = (from.get(), to.get());
        let pages = if to < from { 0 } else { (to - from) / PAGE + 1 };
        let shared = Arc::new(Shared { client, from, to, state: Mutex::default(), changed: Condvar::new() });
        let fetchers = (0..FETCHERS)
            .map(|_| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.work(pages))
            })
            .collect();
        Self { shared, pages, next: 0, page: Vec::new().into_iter(), failed: false, fetchers }
    }
}

impl Iterator for Blocks {
    type Item = CliResult<RawBlock>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(block) = self.page.next() {
                return Some(Ok(block));
            }
            if self.failed || self.next == self.pages {
                return None;
            }
            let mut state = self.shared.lock();
            let page = loop {
                match state.ready.remove(&self.next) {
                    Some(page) => break page,
                    None => {
                        state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    }
                }
            };
            self.next += 1;
            state.taken = self.next;
            self.shared.changed.notify_all();
            drop(state);
            match page {
                Ok(blocks) => self.page = blocks.into_iter(),
                Err(error) => {
                    self.failed = true;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.changed.notify_all();
        for fetcher in self.fetchers.drain(..) {
            // A fetcher that panicked has said so; nothing of it is needed any more.
            let _ = fetcher.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, pages: u64) {
        loop {
            let mut state = self.lock();
            while !state.stopped && state.claimed >= state.taken + PAGES_MAX && state.claimed < pages {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if state.stopped || state.claimed >= pages {
                return;
            }
            let page = state.claimed;
            state.claimed += 1;
            drop(state);
            let from = self.from + page * PAGE;
            let result = self.page(from, self.to.min(from + PAGE - 1));
            self.lock().ready.insert(page, result);
            self.changed.notify_all();
        }
    }

    /// The blocks of one page, one request each: a full block is as large as a request should be.
    fn page(&self, from: u64, to: u64) -> CliResult<Vec<RawBlock>> {
        let mut blocks = Vec::new();
        for height in from..=to {
            if self.lock().stopped {
                break;
            }
            blocks.extend(self.block(Height::new(height))?);
        }
        Ok(blocks)
    }

    /// Asks the preferred node, and where it has nothing, every other one.
    fn block(&self, height: Height) -> CliResult<Option<RawBlock>> {
        let path = paths::raw_block(height);
        match self.client.get_bytes(&path) {
            Ok(bytes) => return decode(height, &bytes).map(Some),
            Err(error) if !is_absent(error.code()) => return Err(error),
            Err(_) => {}
        }
        for node in 0..self.client.len() {
            if let Ok(bytes) = self.client.bytes_from(node, &path) {
                return decode(height, &bytes).map(Some);
            }
        }
        Ok(None)
    }
}

/// The node lacks the block, or cannot read it any more.
fn is_absent(code: Code) -> bool {
    matches!(code, Code::NotFound | Code::NotYetExecuted | Code::StorageCorrupt)
}

pub(super) fn decode(height: Height, bytes: &[u8]) -> CliResult<RawBlock> {
    codec::decode(bytes).map_err(|error| {
        let detail = format!("block {height}: the node's answer is no block: {error}");
        CliError::new(Code::ProofInvalid, detail)
    })
}
