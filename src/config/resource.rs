//! `[[resource]]`: protected resources (RFC 8707) that the configuration registers.

use url::Url;

use super::{Fault, document::TableEntry, reader::SettingReader};

/// A resource: an audience, and the client that may introspect its tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceConfig {
    /// The absolute URI that is asked for and becomes `aud`.
    pub uri: String,
    /// The `client_id` that may introspect tokens for it.
    pub owner: Option<String>,
}

impl ResourceConfig {
    pub(super) fn read(reader: &mut SettingReader, entries: Vec<TableEntry>) -> Vec<Self> {
        let mut resources: Vec<Self> = Vec::new();
        for mut entry in entries {
            let Some((place, uri)) = entry.fields.remove("uri") else {
                reader.fault(Fault::new(entry.place, "needs a `uri`"));
                continue;
            };
            // RFC 8707 §2: an absolute URI without fragment.
            let acceptable = Url::parse(&uri).is_ok_and(|url| {
                url.fragment().is_none() && url.username().is_empty() && url.password().is_none()
            });
            if !acceptable {
                reader.fault(Fault::new(
                    place,
                    "must be an absolute URI without fragment, such as https://api.example.com",
                ));
                continue;
            }
            if resources.iter().any(|other| other.uri == uri) {
                reader.fault(Fault::new(place, "is listed twice; keep one"));
                continue;
            }
            let owner = entry.fields.remove("owner");
            if let Some((place, _)) = owner.as_ref().filter(|(_, owner)| owner.is_empty()) {
                reader.fault(Fault::new(
                    place,
                    "must be a client_id; leave it out if the resource has no owner",
                ));
            }
            resources.push(Self { uri, owner: owner.map(|(_, owner)| owner) });
        }
        resources
    }
}
