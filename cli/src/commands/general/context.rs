//! `city context`: which networks this user talks to.

use std::path::PathBuf;

use chain_core::code::Code;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::app::{City, read_genesis};
use crate::client::check_url;
use crate::context::{Context, Contexts, user_file};
use crate::error::{CliError, CliResult};
use crate::output::Shape;

/// Keep the networks you talk to: nodes, genesis and keys under one name
///
/// city context add market --node http://10.0.0.1:7100 --node http://10.0.0.2:7100 --genesis genesis.toml
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List the contexts
    List,
    /// Use a context from now on
    Use {
        /// Its name
        name: String,
    },
    /// Add a context, or replace one; nodes, genesis and keys come from the common options
    Add {
        /// Its name
        name: String,
        /// Certificate authority of the nodes, PEM
        #[arg(long, value_name = "FILE")]
        tls_ca: Option<PathBuf>,
    },
    /// Show a context, or the current one
    Show {
        /// Its name
        name: Option<String>,
    },
    /// Remove a context
    Remove {
        /// Its name
        name: String,
    },
}

const SHAPE: Shape = Shape {
    schema: "contexts",
    columns: &["name", "current", "nodes", "genesis", "keys"],
    id: "name",
    empty: "no contexts yet; add one: city context add NAME --node URL --genesis FILE",
};

pub(crate) fn run(command: ContextCommand, city: &City) -> CliResult {
    let file = user_file()?;
    let mut contexts = Contexts::load(&file)?;
    match command {
        ContextCommand::List => {
            let rows: Vec<Value> = contexts.by_name.keys().map(|name| view(&contexts, name)).collect();
            city.out.list(SHAPE, &rows)
        }
        ContextCommand::Use { name } => {
            known(&contexts, &name)?;
            contexts.current = Some(name.clone());
            contexts.save(&file)?;
            city.out.done(format!("context {name}"));
            Ok(())
        }
        ContextCommand::Add { name, tls_ca } => {
            let manners = &city.manners;
            if manners.node.is_empty() {
                return Err(CliError::usage("a context needs at least one --node URL")
                    .hint("city context add NAME --node http://127.0.0.1:7100 --genesis genesis.toml"));
            }
            for url in &manners.node {
                check_url(url)?;
            }
            if let Some(path) = &manners.genesis {
                read_genesis(path)?;
            }
            let absolute = |path: &Option<PathBuf>| match path {
                Some(path) => {
                    std::path::absolute(path).map(Some).map_err(|error| CliError::file(path, &error))
                }
                None => Ok(None),
            };
            let context = Context {
                nodes: manners.node.clone(),
                genesis: absolute(&manners.genesis)?,
                keys: absolute(&manners.keys)?,
                tls_ca: absolute(&tls_ca)?,
            };
            contexts.by_name.insert(name.clone(), context);
            contexts.current.get_or_insert_with(|| name.clone());
            contexts.save(&file)?;
            city.out.done(format!("context {name} saved"));
            Ok(())
        }
        ContextCommand::Show { name } => {
            let name = name.or(contexts.current.clone()).ok_or_else(|| {
                CliError::new(Code::NoContext, "no context is in use")
                    .hint("see `city context list`; choose one: city context use NAME")
            })?;
            known(&contexts, &name)?;
            city.out.item(SHAPE, &view(&contexts, &name))
        }
        ContextCommand::Remove { name } => {
            known(&contexts, &name)?;
            contexts.by_name.remove(&name);
            if contexts.current.as_deref() == Some(&name) {
                contexts.current = None;
            }
            contexts.save(&file)?;
            city.out.done(format!("context {name} removed; its keys and genesis stay where they are"));
            if contexts.current.is_none() && !contexts.by_name.is_empty() {
                let names: Vec<&str> = contexts.by_name.keys().map(String::as_str).collect();
                let names = names.join(", ");
                city.out
                    .say(format!("  No context is in use now. Choose one: city context use NAME ({names})"));
            }
            Ok(())
        }
    }
}

fn known(contexts: &Contexts, name: &str) -> CliResult {
    if contexts.by_name.contains_key(name) {
        return Ok(());
    }
    Err(CliError::new(Code::NoContext, format!("no context is named {name}")).hint("see `city context list`"))
}

fn view(contexts: &Contexts, name: &str) -> Value {
    let context = &contexts.by_name[name];
    json!({
        "name": name,
        "current": contexts.current.as_deref() == Some(name),
        "nodes": context.nodes,
        "genesis": context.genesis,
        "keys": context.keys,
    })
}
