//! `city audit history`: acts by agency, type, status, day and the agency's own number.

use chain_core::api::RecordView;
use chain_core::code::Code;
use chain_core::date::Date;
use chain_core::record::Header;
use serde_json::{Value, json};

use crate::app::City;
use crate::commands::clerk::record::{filters, list};
use crate::draft::shown_header;
use crate::error::{CliError, CliResult};
use crate::output::Shape;

/// What `history` takes; every filter narrows.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    /// Acting agency, e.g. uscc:11320100MAXP23YC3L
    #[arg(long)]
    agency: Option<String>,
    /// Type, e.g. credit.penalty
    #[arg(long = "type", value_name = "TYPE")]
    record_type: Option<String>,
    /// Status, e.g. effective
    #[arg(long)]
    status: Option<String>,
    /// First day: of the decision, else the first in effect, else that of the block
    #[arg(long, value_name = "DATE")]
    from: Option<Date>,
    /// Last day
    #[arg(long, value_name = "DATE")]
    to: Option<Date>,
    /// The agency's own number, the whole of it; found where the node's answers show the body
    #[arg(long, requires_all = ["agency", "record_type"])]
    number: Option<String>,
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

const ACTS: Shape = Shape {
    schema: "acts",
    columns: &[
        "record",
        "type",
        "agency",
        "decided_on",
        "effective_from",
        "effective_to",
        "version",
        "status",
        "flags",
        "compared",
    ],
    id: "record",
    empty: "no such acts at this node; one that is not published is not found by its number",
};

pub(super) fn run(args: &HistoryArgs, city: &City) -> CliResult {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let listed = list(&city.client()?, &asked(args)?, limit)?;
    let rows = listed.items.iter().map(|view| row(args, view)).collect::<CliResult<Vec<_>>>()?;
    city.out.list(ACTS, &rows)?;
    let elsewhere = rows.iter().filter(|row| row["compared"] == false).count();
    if elsewhere > 0 {
        city.out.say(format!(
            "  Of {elsewhere} of these the node does not keep the body, and cannot tell the number; ask another with --node."
        ));
    }
    listed.tell_of_more(&city.out);
    Ok(())
}

/// The filters as the node takes them.
fn asked(args: &HistoryArgs) -> CliResult<Vec<(&'static str, Option<String>)>> {
    if let (Some(from), Some(to)) = (args.from, args.to)
        && from > to
    {
        let detail = format!("--from is {from} and --to is {to}, wants the earlier day first");
        return Err(CliError::usage(detail));
    }
    let known = filters(args.record_type.clone(), args.agency.clone(), args.status.clone())?;
    let days =
        [("from", args.from), ("to", args.to)].map(|(name, day)| (name, day.map(|day| day.to_string())));
    Ok(known.into_iter().chain(days).chain([("number", args.number.clone())]).collect())
}

/// An act as it is shown, after checking that its header is the one that the digest names, and one that was asked for.
fn row(args: &HistoryArgs, view: &RecordView) -> CliResult<Value> {
    let header = shown_header(view)?;
    check_asked_for(args, &header)?;
    Ok(json!({
        "record": header.record,
        "type": header.record_type.name(),
        "agency": header.agency,
        "decided_on": header.decided_on,
        "effective_from": header.effective_from,
        "effective_to": header.effective_to,
        "version": view.version,
        "status": view.status,
        "flags": view.flags,
        "compared": args.number.is_none() || !view.body_elsewhere,
    }))
}

fn check_asked_for(args: &HistoryArgs, header: &Header) -> CliResult {
    let (agency, name) = (header.agency.to_string(), header.record_type.name());
    let other_agency = args.agency.as_deref().is_some_and(|wanted| wanted != agency);
    let other_type = args.record_type.as_deref().is_some_and(|wanted| wanted != name);
    let day = header.decided_on.or(header.effective_from);
    let other_day =
        day.is_some_and(|day| args.from.is_some_and(|from| day < from) || args.to.is_some_and(|to| to < day));
    if other_agency || other_type || other_day {
        let day = day.map_or_else(|| "no day".to_owned(), |day| day.to_string());
        let detail = format!(
            "the node lists record {}, {name} of {agency}, {day}: not what was asked for",
            header.record
        );
        return Err(CliError::new(Code::HeaderMismatch, detail).hint("ask another node with --node"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chain_core::build::{Filing, file};
    use chain_core::crypto::Digest;
    use chain_core::id::ChainId;
    use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};
    use clap::Parser;

    use super::*;

    const AGENCY: &str = "uscc:11320100MAXP23YC3L";

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: HistoryArgs,
    }

    fn parsed(line: &[&str]) -> Result<HistoryArgs, clap::Error> {
        Line::try_parse_from([&["history"], line].concat()).map(|line| line.args)
    }

    /// A licence that was decided on 2026-05-06.
    fn header() -> Header {
        let text = |text: &str| json!([{ "lang": "zh-Hans", "text": text }]);
        let body = json!({
            "subject": { "id": "uscc:91440300100012316L", "kind": "organisation", "name": "示例有限公司" },
            "decision_no": "L-1", "decision_title": text("许可决定书"), "licence_class": "ordinary",
            "content": text("准予许可"), "decided_on": "2026-05-06", "valid_from": "2026-05-06",
            "valid_to": "2027-05-06", "issuer": AGENCY, "data_source": AGENCY,
            "origin": { "system": "counter", "method": "manual" },
        });
        let filing = Filing {
            chain_id: ChainId::new(Digest::ZERO),
            agency: AGENCY.parse().unwrap(),
            dedupe_key: b"key",
            idempotency_key: "L-1",
            record_type: RecordType::Licence,
            version: 1,
            class: Class::P1,
            subject_kind: SubjectKind::Organisation,
            legal_basis: Some(BasisRef { id: "law".to_owned(), version: 1 }),
            salt: Digest::tagged(b"salt", &[]),
            officers: Vec::new(),
            refs: Vec::new(),
            publication: [None; 3],
            dispose_on: None,
        };
        file(&filing, &body.to_string()).unwrap().header
    }

    #[test]
    fn filters_are_passed_on_as_they_were_given() {
        let line =
            ["--agency", AGENCY, "--type", "credit.licence", "--from", "2026-05-06", "--number", "L-1"];
        let asked = asked(&parsed(&line).unwrap()).unwrap();
        let given: Vec<_> =
            asked.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))).collect();
        let wanted =
            [("type", "credit.licence"), ("agency", AGENCY), ("from", "2026-05-06"), ("number", "L-1")];
        assert_eq!(given, wanted);
    }

    #[test]
    fn a_number_wants_agency_and_type_and_days_want_their_order() {
        assert!(parsed(&["--number", "L-1"]).is_err());
        assert!(parsed(&["--number", "L-1", "--agency", AGENCY]).is_err());
        assert!(parsed(&["--from", "2026-02-30"]).is_err());
        let turned = parsed(&["--from", "2026-05-07", "--to", "2026-05-06"]).unwrap();
        assert_eq!(asked(&turned).unwrap_err().code(), Code::BadParameter);
    }

    #[test]
    fn a_record_that_was_not_asked_for_is_not_shown() {
        let header = header();
        for line in [&[][..], &["--agency", AGENCY], &["--type", "credit.licence"], &["--from", "2026-05-06"]]
        {
            check_asked_for(&parsed(line).unwrap(), &header).unwrap();
        }
        for line in [
            ["--agency", "uscc:11320100MAX1N11L4Y"],
            ["--type", "credit.penalty"],
            ["--from", "2026-05-07"],
            ["--to", "2026-05-05"],
        ] {
            let refused = check_asked_for(&parsed(&line).unwrap(), &header).unwrap_err();
            assert_eq!(refused.code(), Code::HeaderMismatch, "{line:?}");
        }
    }
}
