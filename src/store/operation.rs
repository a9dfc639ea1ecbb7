//! What can be asked of a store, as the label `operation` of metrics: the names of the traits' methods.

/// The place of an operation in [`OPERATIONS`].
pub type Operation = usize;

/// Every operation.
pub const OPERATIONS: [&str; 27] = [
    "client",
    "client_by_key",
    "clients",
    "resource",
    "resources",
    "user",
    "user_by_name",
    "users",
    "session",
    "session_by_id",
    "sessions",
    "consent",
    "consents",
    "code",
    "rotation",
    "family",
    "signing_keys",
    "feed",
    "revocations",
    "revocations_of",
    "commit",
    "probe",
    "sweep",
    "backup",
    "restored",
    "schema_version",
    "statistics",
];

/// Finds an operation when the code is compiled; a name that is not listed does not compile.
pub(crate) const fn operation(name: &str) -> Operation {
    let mut at = 0;
    while at < OPERATIONS.len() {
        if same(OPERATIONS[at].as_bytes(), name.as_bytes()) {
            return at;
        }
        at += 1;
    }
    panic!("a method that is not in OPERATIONS");
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_is_found_at_its_place() {
        for (at, name) in OPERATIONS.iter().enumerate() {
            assert_eq!(operation(name), at, "{name}");
        }
    }
}
