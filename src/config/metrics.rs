//! `[metrics]`: what is counted besides what always is.

use super::{
    reader::SettingReader,
    value::{Reading, bytes},
};

/// The most clients that are counted each: every one is six series.
const MOST_CLIENTS: usize = 50;
/// The longest client_id that is a label.
const LONGEST: usize = 128;

/// Metrics.
#[derive(Clone, Debug)]
pub struct MetricsConfig {
    /// The `client_id`s whose requests are counted each. Default none.
    pub clients: Vec<String>,
    /// The memory that the process may use, in bytes, if not what the system says.
    pub memory_limit: Option<u64>,
}

impl MetricsConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Self {
        let place = ("metrics", "clients");
        let clients = reader.list(place, client_id);
        let twice = clients.iter().enumerate().find(|(at, client)| clients[..*at].contains(client));
        if let Some((at, _)) = twice {
            reader.refuse(place, format!("item {} is listed before; keep one", at + 1));
        } else if clients.len() > MOST_CLIENTS {
            let many = clients.len();
            reader.refuse(
                place,
                format!("may list at most {MOST_CLIENTS} clients, not {many}, since each is six series"),
            );
        }
        Self { clients, memory_limit: reader.optional(("metrics", "memory_limit"), bytes(1 << 20..=1 << 44)) }
    }
}

/// RFC 6749 §A.1: printable ASCII.
fn client_id(text: &str) -> Reading<String> {
    let printable = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if printable && (1..=LONGEST).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be a client_id: 1 to {LONGEST} printable ASCII characters"))
    }
}
