//! The journal of one import: what was sent and what became of it, on disk before anything is said.
//!
//! One JSON object per line. A transaction is written and synced *before* its first byte leaves, with its
//! exact signed bytes, so that a resumed import repeats it and never makes a second one; its outcome is
//! written and synced only after this client verified that a quorum ordered it. A row is acknowledged when,
//! and only when, a `final` line names it. The file holds bodies: only its owner may read it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chain_core::code::{Code, Refusal};
use chain_core::crypto::Digest;
use chain_core::id::{ChainId, Height, RecordId, TxId};
use serde::{Deserialize, Serialize};

use crate::error::{CliError, CliResult};
use crate::files;

use super::note::Notes;

/// Name and version of the form.
const SCHEMA: &str = "city/v1/journal";

/// One line.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Line {
    Start(Start),
    Refused(RefusedRow),
    Sent(Box<Sent>),
    Final(Final),
}

/// What the import is about.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Start {
    schema: String,
    /// The network.
    pub(crate) chain_id: ChainId,
    /// The spreadsheet as it was named.
    pub(crate) sheet: PathBuf,
    /// SHA-256 of its bytes.
    pub(crate) sheet_sha256: Digest,
    /// The mapping as it was named.
    pub(crate) mapping: String,
    /// SHA-256 of its text.
    pub(crate) mapping_sha256: Digest,
    /// Rows under the heading.
    pub(crate) rows: u64,
    /// Whether local checks were skipped.
    pub(crate) raw: bool,
    /// Most operations of a transaction.
    pub(crate) group: usize,
    /// Who acts, where the sheet does not say it.
    #[serde(default)]
    pub(crate) agency: Option<String>,
    /// Which of several clerks of the agency signs, from 1.
    #[serde(default = "first")]
    pub(crate) nth: usize,
}

fn first() -> usize {
    1
}

impl Start {
    /// The first line of a new import.
    pub(crate) fn new(
        chain_id: ChainId,
        sheet: (&Path, &[u8]),
        mapping: (&str, &str),
        rows: u64,
        raw: bool,
        group: usize,
        agency: Option<String>,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            chain_id,
            sheet: sheet.0.to_owned(),
            sheet_sha256: Digest::tagged(b"", &[sheet.1]),
            mapping: mapping.0.to_owned(),
            mapping_sha256: Digest::tagged(b"", &[mapping.1.as_bytes()]),
            rows,
            raw,
            group,
            agency,
            nth: 1,
        }
    }
}

/// A row refused before it was ordered: here, or by the first node that was given it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct RefusedRow {
    /// Its number.
    pub(crate) row: u64,
    /// Why.
    pub(crate) refusal: Refusal,
}

/// A signed transaction, complete.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Sent {
    /// Its id.
    pub(crate) tx: TxId,
    /// The rows of its operations, in order.
    pub(crate) rows: Vec<u64>,
    /// What was changed in each row.
    pub(crate) notes: Vec<Notes>,
    /// The only validator whose node may be given it: it holds bodies that must not travel.
    pub(crate) home: Option<String>,
    /// The exact bytes to send, in base64.
    submission: String,
}

impl Sent {
    /// A transaction about to be sent.
    pub(crate) fn new(
        tx: TxId,
        rows: Vec<u64>,
        notes: Vec<Notes>,
        home: Option<String>,
        bytes: &[u8],
    ) -> Self {
        Self { tx, rows, notes, home, submission: STANDARD.encode(bytes) }
    }

    /// The bytes to send.
    pub(crate) fn bytes(&self) -> CliResult<Vec<u8>> {
        STANDARD
            .decode(&self.submission)
            .map_err(|error| damaged(format!("transaction {}: {error}", self.tx)))
    }
}

/// What became of a transaction, after its finality was verified.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Final {
    /// The transaction.
    pub(crate) tx: TxId,
    /// The block that orders it.
    pub(crate) height: Height,
    /// One per row, in order.
    pub(crate) outcomes: Vec<RowOutcome>,
}

/// What became of one row.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct RowOutcome {
    /// The row.
    pub(crate) row: u64,
    /// The record, when it was accepted.
    pub(crate) record: Option<RecordId>,
    /// Whether an earlier import had filed the very same.
    #[serde(default)]
    pub(crate) duplicate: bool,
    /// Why not, when it was refused.
    pub(crate) refusal: Option<Refusal>,
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// The first line.
    pub(crate) start: Start,
    /// Rows refused before they were sent.
    pub(crate) refused: BTreeMap<u64, Refusal>,
    /// Transactions in the order they were written.
    pub(crate) sent: Vec<Sent>,
    /// Outcomes by transaction.
    pub(crate) finals: BTreeMap<String, Final>,
}

impl Journal {
    /// Where the journal of a sheet stands unless told otherwise.
    pub(crate) fn beside(sheet: &Path) -> PathBuf {
        let mut name = sheet.as_os_str().to_owned();
        name.push(".journal");
        name.into()
    }

    /// Keeps what opens the commitments of records in `JOURNAL.openings`, a line each, synced before anything is sent: without
    /// it nobody can. Only its owner may read it.
    pub(crate) fn keep<'a>(&self, openings: impl Iterator<Item = &'a serde_json::Value>) -> CliResult {
        let lines: String = openings.map(|one| format!("{one}\n")).collect();
        if lines.is_empty() {
            return Ok(());
        }
        let mut name = self.path.as_os_str().to_owned();
        name.push(".openings");
        let path = PathBuf::from(name);
        let failed = |error| CliError::file(&path, &error);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let mut file = file.map_err(failed)?;
        file.write_all(lines.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        files::sync_parent(&path)
    }

    /// Begins a journal; the file must not exist.
    pub(crate) fn create(path: &Path, start: Start) -> CliResult<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| CliError::file(path, &error).hint(resume_hint(path)))?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            start: start.clone(),
            refused: BTreeMap::new(),
            sent: Vec::new(),
            finals: BTreeMap::new(),
        };
        journal.append(&[Line::Start(start)])?;
        files::sync_parent(path)?;
        Ok(journal)
    }

    /// Opens a journal to go on with it. A last line that a crash cut short is removed: nothing was sent or
    /// acknowledged on its strength.
    pub(crate) fn open(path: &Path) -> CliResult<Self> {
        let mut file =
            OpenOptions::new().read(true).append(true).open(path).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => CliError::file(path, &error)
                    .hint("nothing was submitted from this sheet yet: city batch submit SHEET --map MAP"),
                _ => CliError::file(path, &error),
            })?;
        let mut lines = Vec::new();
        let mut whole = 0_u64;
        let mut reader = BufReader::new(&file);
        let mut text = Vec::new();
        loop {
            text.clear();
            let read = reader.read_until(b'\n', &mut text).map_err(|error| CliError::file(path, &error))?;
            if read == 0 {
                break;
            }
            match serde_json::from_slice::<Line>(&text) {
                Ok(line) if text.ends_with(b"\n") => lines.push(line),
                _ if !text.ends_with(b"\n") => break,
                Ok(_) => break,
                Err(error) => return Err(damaged(format!("{} at byte {whole}: {error}", path.display()))),
            }
            whole += read as u64;
        }
        // What does not begin as a journal is left as it is: it may be something else altogether.
        if lines.is_empty() {
            return Err(damaged(format!("{} does not begin with a start line", path.display())));
        }
        file.set_len(whole).map_err(|error| CliError::file(path, &error))?;
        file.seek(std::io::SeekFrom::End(0)).map_err(|error| CliError::file(path, &error))?;
        let mut lines = lines.into_iter();
        let Some(Line::Start(start)) = lines.next() else {
            return Err(damaged(format!("{} does not begin with a start line", path.display())));
        };
        if start.schema != SCHEMA {
            return Err(damaged(format!(
                "{} has schema {:?}, wanted {SCHEMA:?}",
                path.display(),
                start.schema
            )));
        }
        let (refused, sent, finals) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
        let mut journal = Self { path: path.to_owned(), file, start, refused, sent, finals };
        for line in lines {
            journal.take(line);
        }
        Ok(journal)
    }

    /// Where it stands.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that this journal belongs to this import.
    pub(crate) fn check(&self, now: &Start) -> CliResult {
        let was = &self.start;
        let differs = [
            ("network", was.chain_id != now.chain_id),
            ("spreadsheet", was.sheet_sha256 != now.sheet_sha256),
            ("mapping", was.mapping_sha256 != now.mapping_sha256),
        ];
        match differs.iter().find(|(_, differs)| *differs) {
            None => Ok(()),
            Some((what, _)) => Err(CliError::new(
                Code::JournalMismatch,
                format!("{} was begun with another {what}", self.path.display()),
            )),
        }
    }

    /// Writes rows refused before sending.
    pub(crate) fn refuse(&mut self, rows: Vec<RefusedRow>) -> CliResult {
        self.append(&rows.into_iter().map(Line::Refused).collect::<Vec<_>>())
    }

    /// Writes transactions before they are sent.
    pub(crate) fn sending(&mut self, sent: Vec<Sent>) -> CliResult {
        self.append(&sent.into_iter().map(|sent| Line::Sent(Box::new(sent))).collect::<Vec<_>>())
    }

    /// Writes a verified outcome.
    pub(crate) fn finish(&mut self, end: Final) -> CliResult {
        self.append(&[Line::Final(end)])
    }

    /// Transactions without a verified outcome.
    pub(crate) fn unfinished(&self) -> Vec<Sent> {
        let refused = |sent: &Sent| sent.rows.iter().all(|row| self.refused.contains_key(row));
        let open = |sent: &&Sent| !self.finals.contains_key(&sent.tx.to_string()) && !refused(sent);
        self.sent.iter().filter(open).cloned().collect()
    }

    /// Whether a row was refused or put into a transaction before.
    pub(crate) fn known_rows(&self) -> std::collections::BTreeSet<u64> {
        self.sent
            .iter()
            .flat_map(|sent| sent.rows.iter().copied())
            .chain(self.refused.keys().copied())
            .collect()
    }

    fn append(&mut self, lines: &[Line]) -> CliResult {
        if lines.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line).map_err(CliError::internal)?;
            text.push(b'\n');
        }
        self.file
            .write_all(&text)
            .and_then(|()| self.file.sync_data())
            .map_err(|error| CliError::file(&self.path, &error))?;
        for line in lines {
            self.take(line.clone());
        }
        Ok(())
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Start(_) => {}
            Line::Refused(row) => {
                self.refused.insert(row.row, row.refusal);
            }
            Line::Sent(sent) => self.sent.push(*sent),
            Line::Final(end) => {
                self.finals.insert(end.tx.to_string(), end);
            }
        }
    }
}

/// The command that goes on with a journal.
pub(crate) fn resume_hint(path: &Path) -> String {
    format!("go on with it: city batch resume {}", path.display())
}

fn damaged(detail: String) -> CliError {
    CliError::new(Code::JournalMismatch, format!("the journal is damaged: {detail}"))
        .hint("keep the file; ask the ledger which rows it has: city record list")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start {
        let chain = ChainId::new(Digest::ZERO);
        Start::new(chain, (Path::new("a.csv"), b"x"), ("licences", "m"), 3, false, 100, None)
    }

    fn sent(number: u8) -> Sent {
        let tx = TxId::new(Digest::tagged(b"t", &[&[number]]));
        Sent::new(tx, vec![u64::from(number)], vec![Notes::default()], None, &[number; 40])
    }

    fn finished(sent: &Sent) -> Final {
        let outcome = RowOutcome { row: sent.rows[0], record: None, duplicate: false, refusal: None };
        Final { tx: sent.tx, height: Height::new(7), outcomes: vec![outcome] }
    }

    #[test]
    fn a_resumed_journal_knows_what_was_sent_and_what_is_final() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv.journal");
        let mut journal = Journal::create(&path, start()).unwrap();
        journal.sending(vec![sent(1), sent(2)]).unwrap();
        journal.finish(finished(&sent(1))).unwrap();
        journal.refuse(vec![RefusedRow { row: 3, refusal: Refusal::new(Code::BadDate, "x") }]).unwrap();
        drop(journal);
        let again = Journal::open(&path).unwrap();
        assert_eq!(again.unfinished(), [sent(2)]);
        assert_eq!(again.unfinished()[0].bytes().unwrap(), [2; 40]);
        assert_eq!(again.known_rows().into_iter().collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn a_line_cut_short_at_any_byte_is_as_if_it_had_not_been_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let mut journal = Journal::create(&path, start()).unwrap();
        journal.sending(vec![sent(1)]).unwrap();
        let before = std::fs::metadata(&path).unwrap().len();
        journal.finish(finished(&sent(1))).unwrap();
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        for cut in usize::try_from(before).unwrap()..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut again = Journal::open(&path).unwrap();
            assert_eq!(again.unfinished().len(), 1, "cut at {cut}");
            // What is appended next must not run into the cut line.
            again.finish(finished(&sent(1))).unwrap();
            assert!(Journal::open(&path).unwrap().unfinished().is_empty(), "cut at {cut}");
        }
    }

    #[test]
    fn openings_are_kept_beside_the_journal_for_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::create(&dir.path().join("j"), start()).unwrap();
        let path = dir.path().join("j.openings");
        journal.keep([].iter()).unwrap();
        assert!(!path.exists());
        for day in 1..=2 {
            journal.keep([serde_json::json!({ "day": day })].iter()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"day\":1}\n{\"day\":2}\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_journal_is_never_begun_twice_nor_used_for_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let journal = Journal::create(&path, start()).unwrap();
        let error = Journal::create(&path, start()).unwrap_err();
        assert_eq!(error.code(), Code::FileExists);
        assert!(error.report().contains("city batch resume"), "{}", error.report());
        let other = Start::new(
            ChainId::new(Digest::ZERO),
            (Path::new("a.csv"), b"y"),
            ("licences", "m"),
            3,
            false,
            100,
            None,
        );
        assert_eq!(journal.check(&other).unwrap_err().code(), Code::JournalMismatch);
        journal.check(&start()).unwrap();
    }

    #[test]
    fn a_row_that_a_node_would_not_take_has_its_verdict_and_is_not_sent_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let mut journal = Journal::create(&path, start()).unwrap();
        journal.sending(vec![sent(1), sent(2)]).unwrap();
        journal
            .refuse(vec![RefusedRow { row: 1, refusal: Refusal::new(Code::NegativeAmount, "x") }])
            .unwrap();
        assert_eq!(Journal::open(&path).unwrap().unfinished(), [sent(2)]);
    }

    #[test]
    fn damage_in_the_middle_is_reported_not_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let mut journal = Journal::create(&path, start()).unwrap();
        journal.sending(vec![sent(1), sent(2)]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap().replacen("\"sent\"", "\"s;nt\"", 1);
        std::fs::write(&path, text).unwrap();
        assert_eq!(Journal::open(&path).unwrap_err().code(), Code::JournalMismatch);
    }
}
