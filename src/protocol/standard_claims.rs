//! OpenID Connect Core §5.1 — the standard claims, and what their values may be.

use serde_json::{Map, Value};

use super::userinfo::SCOPE_CLAIMS;

/// The members of `address` (§5.1.1).
const ADDRESS: [&str; 6] = ["formatted", "street_address", "locality", "region", "postal_code", "country"];
/// The longest text of one claim, in bytes.
const MAX_TEXT: usize = 2048;

/// Everything that is wrong with a person's claims, one clear sentence each.
pub fn faults(claims: &Map<String, Value>) -> Vec<String> {
    claims.iter().filter_map(|(name, value)| fault(name, value)).collect()
}

fn fault(name: &str, value: &Value) -> Option<String> {
    let known = || SCOPE_CLAIMS.iter().flat_map(|(_, names)| names.iter().copied());
    if !known().any(|known| known == name) {
        let names: Vec<_> = known().collect();
        return Some(format!("The claim {name:?} is not a standard claim; there are {}.", names.join(", ")));
    }
    let (right, kind) = match name {
        "email_verified" | "phone_number_verified" => (value.is_boolean(), "true or false"),
        "updated_at" => (value.is_u64(), "a number of seconds since 1970"),
        "address" => (
            is_address(value),
            "an object of formatted, street_address, locality, region, postal_code, country",
        ),
        _ => (is_text(value), "a text of at most 2048 bytes"),
    };
    (!right).then(|| format!("The claim {name:?} must be {kind}."))
}

fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() <= MAX_TEXT)
}

fn is_address(value: &Value) -> bool {
    value.as_object().is_some_and(|address| {
        address.iter().all(|(name, value)| ADDRESS.contains(&name.as_str()) && is_text(value))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults_of(claims: Value) -> Vec<String> {
        faults(claims.as_object().expect("an object"))
    }

    #[test]
    fn the_example_of_section_5_3_2_is_acceptable() {
        let claims = json!({
            "name": "Jane Doe",
            "given_name": "Jane",
            "family_name": "Doe",
            "preferred_username": "j.doe",
            "email": "janedoe@example.com",
            "email_verified": true,
            "picture": "http://example.com/janedoe/me.jpg",
            "address": {"locality": "Oxford", "country": "UK"},
            "updated_at": 1_311_280_970,
        });
        assert_eq!(faults_of(claims), Vec::<String>::new());
    }

    #[test]
    fn each_wrong_claim_is_told() {
        let claims = json!({
            "sub": "me", "email_verified": "yes", "address": {"planet": "Earth"}, "updated_at": -1, "name": 7
        });
        assert_eq!(faults_of(claims).len(), 5);
    }
}
