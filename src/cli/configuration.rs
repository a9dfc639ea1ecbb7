//! Reading the configuration, and `check-config`.

use std::path::Path;

use serde_json::json;

use super::{CommandFailure, Output};
use crate::{
    app::schema,
    config::{Config, Fault, ProcessEnv},
    http::{pages::PageTemplates, tls::Certificate},
};

/// The configuration, or everything that is wrong with it.
pub(super) fn load(file: Option<&Path>) -> Result<Config, CommandFailure> {
    read(file).map_err(|faults| CommandFailure::usage(lines(&faults)))
}

fn read(file: Option<&Path>) -> Result<Config, Vec<Fault>> {
    let Some(path) = file else { return Config::load(None, &ProcessEnv) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![Fault::new(path.display().to_string(), format!("cannot be read: {error}"))])?;
    Config::load(Some((path, &text)), &ProcessEnv)
}

/// `check-config`: also looks at the files that the configuration names, and with `connect` asks the
/// store and Redis whether they are there.
pub(super) fn check(file: Option<&Path>, connect: bool, out: Output) -> Result<(), CommandFailure> {
    let (config, mut faults) = match read(file) {
        Ok(config) => (Some(config), Vec::new()),
        Err(faults) => (None, faults),
    };
    if let Some(config) = &config {
        faults.extend(config.master_keys().err());
        faults.extend(config.tls.as_ref().and_then(|files| Certificate::open(files).err()));
        if let Err(error) = PageTemplates::new(config.pages.templates.as_deref()) {
            faults.extend(error.faults.iter().map(|fault| Fault::new("[pages] templates", fault)));
        }
    }
    let mut found = Vec::new();
    if let Some(config) = config.as_ref().filter(|_| connect && faults.is_empty()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime.map_err(CommandFailure::failed)?.block_on(schema::look(config)) {
            Ok(looked) => found = looked,
            Err(error) => return Err(CommandFailure::failed(error)),
        }
    }
    let entries: Vec<_> =
        faults.iter().map(|fault| json!({ "place": fault.place, "message": fault.message })).collect();
    match config.filter(|_| faults.is_empty()) {
        Some(config) => {
            let value = json!({
                "ok": true,
                "faults": entries,
                "issuer": config.server.issuer.as_str(),
                "listen": config.server.listen.to_string(),
                "tls": config.tls.is_some(),
                "ops_listen": config.server.ops_listen.to_string(),
                "store": config.store.location().shown(),
                "connected": found,
            });
            out.result(&value, || {
                let right = format!(
                    "The configuration is right: issuer {}, listening on {}{}, store in {}.",
                    config.server.issuer,
                    if config.tls.is_some() { "https://" } else { "" },
                    config.server.listen,
                    config.store.location().shown()
                );
                [&[right], found.as_slice()].concat().join("\n")
            });
            Ok(())
        }
        None => {
            if out.is_json() {
                out.result(&json!({ "ok": false, "faults": entries }), String::new);
            }
            Err(CommandFailure::usage(lines(&faults)))
        }
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
