//! What a cached record occupies in memory, estimated in bytes.

use serde_json::Value;

use crate::model::*;

/// Has a weight.
pub(super) trait Weigh {
    /// Bytes outside the value itself: texts, lists, maps.
    fn heap(&self) -> usize;

    /// All its bytes.
    fn weight(&self) -> usize
    where
        Self: Sized,
    {
        size_of::<Self>() + self.heap()
    }
}

macro_rules! flat {
    ($($name:ident)*) => {$(
        impl Weigh for $name {
            fn heap(&self) -> usize {
                0
            }
        }
    )*};
}

flat! { ClientKey UserId FamilyId ClientSecret }

impl Weigh for String {
    fn heap(&self) -> usize {
        self.len()
    }
}

impl<T: Weigh> Weigh for Vec<T> {
    fn heap(&self) -> usize {
        self.iter().map(Weigh::weight).sum()
    }
}

impl<T: Weigh> Weigh for Option<T> {
    fn heap(&self) -> usize {
        self.as_ref().map_or(0, Weigh::heap)
    }
}

impl Weigh for Scopes {
    fn heap(&self) -> usize {
        self.iter().map(|scope| size_of::<String>() + scope.len()).sum()
    }
}

impl Weigh for Client {
    fn heap(&self) -> usize {
        self.client_id.heap()
            + self.name.heap()
            + self.secrets.heap()
            + self.redirect_uris.heap()
            + self.post_logout_redirect_uris.heap()
            + self.allowed_origins.heap()
            + self.grants.heap()
            + self.scopes.heap()
            + self.resources.heap()
            + self.default_audience.heap()
    }
}

impl Weigh for Resource {
    fn heap(&self) -> usize {
        self.uri.heap()
    }
}

impl Weigh for User {
    fn heap(&self) -> usize {
        self.username.heap() + self.password.heap() + map(&self.claims)
    }
}

impl Weigh for Family {
    fn heap(&self) -> usize {
        self.scopes.heap()
            + self.resources.heap()
            + self.claims.userinfo.heap()
            + self.claims.id_token.heap()
            + self.amr.heap()
    }
}

fn map(members: &serde_json::Map<String, Value>) -> usize {
    // A B-tree's node is at least half full.
    members.iter().map(|(name, value)| 2 * name.weight() + 2 * size_of::<Value>() + json(value)).sum()
}

fn json(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(|item| size_of::<Value>() + json(item)).sum(),
        Value::Object(members) => map(members),
    }
}
