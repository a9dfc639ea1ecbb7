//! `serve`: the real thing.

use std::time::Duration;

use super::{CommandFailure, begin_log};
use crate::{
    app::{Listeners, Node, ServeOptions, block_on},
    config::{Config, LogFormat},
    crypto::random::Random,
    observe::log::{LineFormat, LogSettings},
    resilience::Clock,
};

/// Load balancers that ask each second see that readiness fails before connections are refused.
const GRACE: Duration = Duration::from_secs(1);

pub(super) fn run(config: Config) -> Result<(), CommandFailure> {
    let format = match config.log.format {
        LogFormat::Auto => None,
        LogFormat::Json => Some(LineFormat::Json),
        LogFormat::Text => Some(LineFormat::Text),
    };
    begin_log(&LogSettings { filter: config.log.level.clone(), format })?;
    let listeners = Listeners::bind(config.server.listen, config.server.ops_listen)?;
    let options = ServeOptions { grace: GRACE, ..ServeOptions::until_signal() };
    Ok(block_on(async {
        let node = Node::open(config, Clock::system(), Random::os()).await?;
        node.serve(listeners, options).await
    })?)
}
