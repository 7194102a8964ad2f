//! Questions of an agency's officers about what is not public: each is written down before it is answered (G17).

use chain_core::access::{
    Answer, DayEntries, DayRoot, Entry, ProvedEntry, Query, Question, SignedQuery, tree,
};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::PublicKey;
use chain_core::date::Date;
use chain_core::execute::LedgerRead as _;
use chain_core::id::RecordId;
use chain_core::layout::Layout as _;
use chain_core::org::OrgId;
use chain_core::record::governance::Role;
use chain_core::record::{Class, Header};
use chain_core::state::{AgencyEntry, MemberEntry, RecordHead, Status, VersionHead, key};
use chain_core::transaction::Body;

use super::records::not_found;
use super::{Local, corrupt, read, roles_named, short};
use crate::driver::core::Core;
use crate::storage::ledger::Snapshot;
use crate::vault::{Vault, Vaults};

impl Local {
    /// Answers a question, or refuses it; both are written down once it is known that an officer of the agency asks.
    pub(super) fn answer(&self, asked: &SignedQuery) -> Result<Answer, Refusal> {
        self.vaults()?;
        let now_ms = Core::wall_ms();
        asked.query.check()?;
        if !asked.verify(self.core.chain_id()) {
            return Err(Refusal::new(Code::BadSignature, format!("by key {}", short(&asked.officer))));
        }
        let snapshot = self.snapshot()?;
        let offset_minutes = self.core.chain.utc_offset_minutes;
        let member = self.officer(&snapshot, &asked.officer, Date::of_time(now_ms, offset_minutes))?;
        let vault = self.vault_asked(&snapshot, &member, &asked.query)?;
        vault.check_new(asked, now_ms)?;
        let answer =
            may_ask(&asked.query, member.role).and_then(|()| self.look_up(&snapshot, vault, &asked.query));
        let refused = answer.as_ref().err().map(|refusal| refusal.code);
        vault.note(asked, member.role, refused, now_ms, offset_minutes)?;
        answer
    }

    /// What an agency's log of a day comes to. Of the present day it changes with every question.
    pub(super) fn day_root(&self, agency: &OrgId, day: Date) -> Result<DayRoot, Refusal> {
        let vault = self.vault_of(&agency.to_string())?;
        self.root_of(&self.snapshot()?, vault, day, &vault.log_of(day)?)
    }

    fn vaults(&self) -> Result<&Vaults, Refusal> {
        let none = || Refusal::new(Code::NotOwnNode, "this node keeps no agency's vault");
        self.core.vaults.as_ref().ok_or_else(none)
    }

    /// The vault of an agency that is at home here.
    pub(super) fn vault_of(&self, agency: &str) -> Result<&Vault, Refusal> {
        let vaults = self.vaults()?;
        let elsewhere = || {
            let kept: Vec<&str> = vaults.agencies().collect();
            let detail =
                format!("{agency} has its vault at another node; this one keeps {}", kept.join(", "));
            Refusal::new(Code::NotOwnNode, detail)
        };
        vaults.of(agency).ok_or_else(elsewhere)
    }

    /// The vault that a question goes to, and in whose log it is written down: that of the officer's agency, or for a body of
    /// class P2 that of the agency whose record it is, where it names the officer's as a reader.
    fn vault_asked(
        &self,
        snapshot: &Snapshot<'_>,
        member: &MemberEntry,
        query: &Query,
    ) -> Result<&Vault, Refusal> {
        let reader = member.agency.to_string();
        if let (Question::Body, Some(record)) = (query.question, &query.record)
            && let Some(head) = self.head(snapshot, record)?
            && head.class == Class::P2
            && let Some(vault) = self.vaults()?.read_by(&reader, &head.agency.to_string(), head.record_type)
        {
            return Ok(vault);
        }
        self.vault_of(&reader)
    }

    /// The member whose key it is, in office on a day, of an agency in force.
    pub(super) fn officer(
        &self,
        snapshot: &Snapshot<'_>,
        officer: &PublicKey,
        today: Date,
    ) -> Result<MemberEntry, Refusal> {
        let unknown = || Refusal::new(Code::UnknownAuthor, format!("key {}", short(officer)));
        let entry = snapshot.get(&key::member(officer)).map_err(read)?.ok_or_else(unknown)?;
        let member = MemberEntry::from_canonical(&entry).map_err(|error| corrupt("member", error))?;
        member.check_in_office(officer, today)?;
        let agency = snapshot.get(&key::agency(&member.agency)).map_err(read)?;
        let agency = agency.map(|bytes| AgencyEntry::from_canonical(&bytes)).transpose();
        let agency = agency.map_err(|error| corrupt("agency", error))?;
        if agency.is_none_or(|agency| !agency.is_in_force(today)) {
            return Err(Refusal::new(Code::AgencySuspended, format!("agency {}", member.agency)));
        }
        Ok(member)
    }

    fn look_up(&self, snapshot: &Snapshot<'_>, vault: &Vault, query: &Query) -> Result<Answer, Refusal> {
        match (query.question, &query.record, query.day) {
            (Question::Body, Some(record), _) => self.body_for(snapshot, vault, record, query.version),
            (Question::WhoAsked, Some(record), _) => self.who_asked(snapshot, vault, record),
            (Question::Day, _, Some(day)) => self.whole_day(snapshot, vault, day),
            _ => Err(Refusal::new(Code::BadParameter, "the question is not complete")),
        }
    }

    /// The body of a record of the vault's agency: that of the version that waits for approval where one does, or else the
    /// current one.
    fn body_for(
        &self,
        snapshot: &Snapshot<'_>,
        vault: &Vault,
        record: &RecordId,
        version: Option<u32>,
    ) -> Result<Answer, Refusal> {
        let head = self.head(snapshot, record)?.ok_or_else(|| not_found(record))?;
        if head.agency.to_string() != vault.agency() {
            let detail =
                format!("record {record} is of {}, the officer is of {}", head.agency, vault.agency());
            return Err(Refusal::new(Code::AgencyNotCompetent, detail));
        }
        if head.current.status.is_without_bodies() {
            let detail = format!("record {record} is {}: its body is destroyed", head.current.status);
            return Err(Refusal::new(Code::NotDisclosed, detail));
        }
        let wanted = wanted_version(&head, version).ok_or_else(|| {
            let detail =
                format!("version {} of record {record}: wants {}", version.unwrap_or(0), versions(&head));
            Refusal::new(Code::RecordNotFound, detail)
        })?;
        let leaf = self.leaf(snapshot, wanted.leaf_index)?;
        let header = leaf.header().ok_or_else(|| corrupt("record head", "names a leaf without a header"))?;
        let body = if header.class.body_is_shared() {
            self.body_of(snapshot, &leaf)?
        } else {
            kept_apart(vault, header)?
        };
        let missing = || {
            let detail =
                format!("the body of version {} of record {record} is not on this node", wanted.version);
            Refusal::new(Code::NotOwnNode, detail)
        };
        Ok(Answer::Body { version: wanted.version, body: body.ok_or_else(missing)? })
    }

    /// Who asked for a record, on every day on which somebody did.
    fn who_asked(
        &self,
        snapshot: &Snapshot<'_>,
        vault: &Vault,
        record: &RecordId,
    ) -> Result<Answer, Refusal> {
        let mut days: Vec<DayEntries> = Vec::new();
        for day in vault.logged_days()? {
            let entries = vault.log_of(day)?;
            let about = |entry: &Entry| entry.asked.query.record.as_ref() == Some(record);
            if entries.iter().any(about) {
                days.push(self.proved(snapshot, vault, day, &entries, about)?);
            }
        }
        Ok(Answer::Entries(days))
    }

    fn whole_day(&self, snapshot: &Snapshot<'_>, vault: &Vault, day: Date) -> Result<Answer, Refusal> {
        let entries = vault.log_of(day)?;
        Ok(Answer::Entries(vec![self.proved(snapshot, vault, day, &entries, |_| true)?]))
    }

    fn proved(
        &self,
        snapshot: &Snapshot<'_>,
        vault: &Vault,
        day: Date,
        entries: &[Entry],
        shown: impl Fn(&Entry) -> bool,
    ) -> Result<DayEntries, Refusal> {
        let tree = tree(entries);
        let shown = (0..).zip(entries).filter(|(_, entry)| shown(entry)).map(|(at, entry)| {
            let path = tree.inclusion(at).ok_or_else(|| corrupt("log of reads", "an entry has no place"))?;
            Ok(ProvedEntry { entry: entry.clone(), path })
        });
        let shown = shown.collect::<Result<_, Refusal>>()?;
        Ok(DayEntries { root: self.root_of(snapshot, vault, day, entries)?, entries: shown })
    }

    fn root_of(
        &self,
        snapshot: &Snapshot<'_>,
        vault: &Vault,
        day: Date,
        entries: &[Entry],
    ) -> Result<DayRoot, Refusal> {
        let agency: OrgId =
            vault.agency().parse().map_err(|error| corrupt("vault", format!("agency: {error}")))?;
        let filed = snapshot.get(&key::access_root(&agency, day)).map_err(read)?;
        let filed = filed.map(|bytes| RecordId::from_canonical(&bytes)).transpose();
        let filed = filed.map_err(|error| corrupt("root of a day", error))?;
        let anchored_by = match filed {
            Some(record) => {
                let head = self.head(snapshot, &record)?;
                head.filter(|head| head.current.status == Status::Effective).map(|_| record)
            }
            None => None,
        };
        let queries =
            u32::try_from(entries.len()).map_err(|_| corrupt("log of reads", "too many entries"))?;
        Ok(DayRoot { agency, day, queries, root: tree(entries).root(), anchored_by })
    }
}

fn may_ask(query: &Query, role: Role) -> Result<(), Refusal> {
    let roles = query.question.roles();
    if roles.contains(&role) {
        return Ok(());
    }
    let detail = format!("{role} asks {}, wants {}", query.question, roles_named(roles));
    Err(Refusal::new(Code::RoleNotAllowed, detail))
}

/// The version that is asked for: the one that waits, the current one, or the one that is named if it is one of them.
fn wanted_version(head: &RecordHead, version: Option<u32>) -> Option<&VersionHead> {
    let mut known = head.next.iter().chain([&head.current]);
    known.find(|one| version.is_none_or(|version| version == one.version))
}

fn versions(head: &RecordHead) -> String {
    let known = [&head.current].into_iter().chain(&head.next).map(|one| one.version.to_string());
    known.collect::<Vec<_>>().join(" or ")
}

/// The body of a header from the vault.
fn kept_apart(vault: &Vault, header: &Header) -> Result<Option<Body>, Refusal> {
    header.body_commit.as_ref().map_or(Ok(None), |commit| vault.get(commit))
}
