//! Reading the configuration, and `check-config`.

use std::path::Path;

use serde_json::json;

use super::{Failure, Output};
use crate::{
    config::{Config, Fault, ProcessEnv},
    http::pages::Pages,
};

/// The configuration, or everything that is wrong with it.
pub(super) fn load(file: Option<&Path>) -> Result<Config, Failure> {
    read(file).map_err(|faults| Failure::usage(lines(&faults)))
}

fn read(file: Option<&Path>) -> Result<Config, Vec<Fault>> {
    let Some(path) = file else { return Config::load(None, &ProcessEnv) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![Fault::new(path.display().to_string(), format!("cannot be read: {error}"))])?;
    Config::load(Some((path, &text)), &ProcessEnv)
}

/// `check-config`: also looks at the files that the configuration names.
pub(super) fn check(file: Option<&Path>, out: Output) -> Result<(), Failure> {
    let (config, mut faults) = match read(file) {
        Ok(config) => (Some(config), Vec::new()),
        Err(faults) => (None, faults),
    };
    if let Some(config) = &config {
        faults.extend(config.keys.master_keys(&config.store.data_dir).err());
        if let Err(error) = Pages::new(config.pages.templates.as_deref()) {
            faults.extend(error.faults.iter().map(|fault| Fault::new("[pages] templates", fault)));
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
                "ops_listen": config.server.ops_listen.to_string(),
                "store": config.store.database().display().to_string(),
            });
            out.result(&value, || {
                format!(
                    "The configuration is right: issuer {}, listening on {}, store in {}.",
                    config.server.issuer,
                    config.server.listen,
                    config.store.database().display()
                )
            });
            Ok(())
        }
        None => {
            if out.is_json() {
                out.result(&json!({ "ok": false, "faults": entries }), String::new);
            }
            Err(Failure::usage(lines(&faults)))
        }
    }
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
