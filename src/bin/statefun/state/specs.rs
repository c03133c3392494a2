//! `statefun state specs`: declarations of values.

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};
use stateful_functions::TypeName;

use crate::admin::{AdminArgs, Query, encoded};
use crate::json::{field, text_at};
use crate::list::Extent;
use crate::output;

#[derive(Debug, Subcommand)]
pub(super) enum SpecsCommand {
    /// List declarations: function type, name, type of the value, expiration.
    List {
        /// Of this function type: `<namespace>/<type>`.
        #[arg(value_name = "TYPE")]
        type_name: Option<TypeName>,
        #[command(flatten)]
        extent: Extent,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Drop a declaration. The values stay; the function declares them again with its next call.
    Drop {
        /// Of this function type: `<namespace>/<type>`.
        #[arg(value_name = "TYPE")]
        type_name: TypeName,
        /// The name of the value.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

impl SpecsCommand {
    /// Whether it changes anything.
    pub(super) const fn writes(&self) -> bool {
        matches!(self, Self::Drop { .. })
    }

    pub(super) const fn admin_mut(&mut self) -> &mut AdminArgs {
        match self {
            Self::List { admin, .. } | Self::Drop { admin, .. } => admin,
        }
    }
}

pub(super) async fn run(command: SpecsCommand, as_json: bool) -> anyhow::Result<()> {
    match command {
        SpecsCommand::List {
            type_name,
            extent,
            admin,
        } => {
            let query = Query::default().with("type", type_name.as_ref());
            let admin = admin.connect()?;
            extent
                .print(
                    &admin,
                    "/api/state-specs",
                    query,
                    as_json,
                    "no declarations",
                    line,
                )
                .await
        }
        SpecsCommand::Drop {
            type_name,
            name,
            admin,
        } => {
            let admin = admin.connect()?;
            let path = format!("/api/state-specs/{type_name}/{}", encoded(&name));
            admin.send(admin.request(Method::DELETE, &path)?).await?;
            if as_json {
                output::json(&json!({"dropped": true}))?;
            } else {
                output::line("dropped")?;
            }
            Ok(())
        }
    }
}

fn line(item: &Value) -> String {
    let after = text_at(item, "/expiration/after");
    let expiration = after.map_or_else(String::new, |after| {
        let span = item.pointer("/expiration/ms").unwrap_or(&Value::Null);
        format!("  expires {span} ms after each {after}")
    });
    format!(
        "{}  {}  {}{expiration}",
        field(item, "function"),
        field(item, "state"),
        field(item, "typename")
    )
}
