//! `city devnet up`.

use std::time::{Duration, Instant};

use chain_core::api::NodeStatus;
use chain_core::code::Code;
use serde_json::json;

use crate::app::City;
use crate::client::{Client, paths};
use crate::error::{CliError, CliResult};
use crate::interrupt;
use crate::output::Shape;

use super::layout::Layout;
use super::{DirArgs, create, process, remembered, status};

/// Start the network, and make it first if there is none
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) dir: DirArgs,
    /// How many validators a new network gets; 4 unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(4..=31))]
    pub(crate) validators: Option<u16>,
    /// First port a new network uses; 7100 unless given
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1024..))]
    pub(crate) base_port: Option<u16>,
    /// How long to wait for the first block
    #[arg(long, value_parser = crate::duration::parse, default_value = "60s", value_name = "TIME")]
    pub(crate) patience: Duration,
}

/// Validators of a new network.
const VALIDATORS: u16 = 4;
/// First port of a new network.
const BASE_PORT: u16 = 7100;

const SHAPE: Shape = Shape {
    schema: "devnet",
    columns: &["dir", "chain_id", "validators", "height", "nodes", "ready_ms"],
    id: "dir",
    empty: "",
};

pub(crate) fn run(args: &UpArgs, city: &City) -> CliResult {
    let begun = Instant::now();
    let layout = start(args, city)?;
    let api = layout.validators().first().map_or_else(String::new, super::layout::Validator::url);
    city.out
        .say(format!("  Node API  {api}/v1/status      ready after {:.1} s", begun.elapsed().as_secs_f64()));
    let context = context_flag(city, &layout);
    city.out.say(format!(
        "  Try:  city record list{context}      city audit chain{context}      {}",
        layout.command("kill 2")
    ));
    let status = first_block(&layout, args.patience)?;
    let view = json!({
        "dir": layout.root(),
        "chain_id": status.chain_id,
        "validators": layout.validators().len(),
        "height": status.committed,
        "nodes": layout.urls(),
        "ready_ms": u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    });
    city.out.item(SHAPE, &view)
}

/// Starts what is not running, and waits for a block.
pub(super) fn start(args: &UpArgs, city: &City) -> CliResult<Layout> {
    interrupt::install();
    let root = &args.dir.dir;
    let layout = if Layout::exists(root) {
        let layout = Layout::open(root)?;
        as_asked(&layout, args)?;
        layout
    } else {
        let (validators, base_port) =
            (args.validators.unwrap_or(VALIDATORS), args.base_port.unwrap_or(BASE_PORT));
        process::node_program()?;
        for number in 1..=validators {
            let seat = super::layout::Validator::new(number, "", "", base_port)?;
            process::free(seat.api_port)?;
            process::free(seat.p2p_port)?;
        }
        create::create(city, root, validators, base_port)?
    };
    let started = Instant::now();
    for validator in layout.validators() {
        process::start(&layout, validator)?;
    }
    first_block(&layout, args.patience)?;
    // A quorum is enough for blocks; that all four are there is what was asked for.
    for validator in layout.validators() {
        status::answers(&layout, validator, args.patience)?;
    }
    let places: Vec<String> =
        layout.validators().iter().map(|one| format!("v{} :{}", one.number, one.p2p_port)).collect();
    city.out.done(format!(
        "{}   first block in {:.1} s",
        places.join("   "),
        started.elapsed().as_secs_f64()
    ));
    remembered::remember(city, &layout);
    Ok(layout)
}

/// A network that exists is not made again: what was asked for must be what it is.
fn as_asked(layout: &Layout, args: &UpArgs) -> CliResult {
    let made = (layout.validators().len(), layout.base_port());
    let wants = (args.validators.map_or(made.0, usize::from), args.base_port.unwrap_or(made.1));
    if wants == made {
        return Ok(());
    }
    let detail = format!("the network exists with {} validators from port {}", made.0, made.1);
    Err(CliError::usage(format!("{detail}; asked for {} from port {}", wants.0, wants.1))
        .hint(format!("start it as it is: {}; or make another elsewhere: --dir", layout.command("up"))))
}

/// What makes commands talk to this network: nothing when they do so anyway.
pub(super) fn context_flag(city: &City, layout: &Layout) -> &'static str {
    match city.context() {
        Ok(context) if context.nodes == layout.urls() => "",
        _ => " --context devnet",
    }
}

/// Waits until a quorum of validators has committed a block.
pub(super) fn first_block(layout: &Layout, patience: Duration) -> CliResult<NodeStatus> {
    let client = Client::new(&layout.urls(), Duration::from_secs(2), None)?;
    let deadline = Instant::now() + patience;
    let need = chain_core::committee::quorum(layout.validators().len());
    loop {
        let mut newest: Option<NodeStatus> = None;
        let mut committed = 0;
        for (at, validator) in layout.validators().iter().enumerate() {
            if process::running(layout, validator).is_none() {
                let words = process::last_words(layout, validator);
                let detail = format!("{} ended at once; its last words:\n{words}", validator.name);
                return Err(CliError::new(Code::DevnetState, detail).hint(status::see_log(layout, validator)));
            }
            if let Ok(status) = client.get_from::<NodeStatus>(at, paths::STATUS) {
                committed += usize::from(status.committed.get() > 0);
                if newest.as_ref().is_none_or(|newest| newest.committed < status.committed) {
                    newest = Some(status);
                }
            }
        }
        if let Some(status) = newest.filter(|_| committed >= need) {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            let detail = format!("no quorum has a block after {} s", patience.as_secs());
            return Err(CliError::new(Code::DevnetState, detail)
                .hint(format!("see the logs: {}", layout.command("logs"))));
        }
        if !interrupt::sleep(Duration::from_millis(50)) {
            return Err(CliError::new(Code::Interrupted, "the validators go on starting").hint(format!(
                "{}, or {}",
                layout.command("status"),
                layout.command("down")
            )));
        }
    }
}
