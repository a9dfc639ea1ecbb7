//! `client`, `resource`, `user` and `keys` on a store without a server.

use crate::cli::process::Place;

const PASSWORD: &str = "four wooden clocks tick\n";

#[test]
fn a_client_is_registered_changed_and_deleted() {
    let place = Place::new();
    let made = place.json(&[
        "client",
        "create",
        "app",
        "--name",
        "My app",
        "--redirect-uri",
        "https://app.example/cb",
        "--post-logout-redirect-uri",
        "https://app.example/bye",
        "--allowed-origin",
        "https://app.example",
        "--scope",
        "openid email",
        "--scope",
        "read",
        "--resource",
        "https://api.example",
        "--default-audience",
        "https://api.example",
        "--skip-consent",
        "--require-pkce",
        "false",
        "--id-token-alg",
        "EdDSA",
        "--token-format",
        "jwt:ES256",
        "--access-lifetime",
        "5m",
        "--refresh-idle-lifetime",
        "1d",
        "--refresh-lifetime",
        "2d",
        "--refresh-policy",
        "always",
        "--retry-window",
        "0",
        "--introspect-any",
        "--strict",
        "--auth-method",
        "client_secret_post",
    ]);
    assert!(made["client_secret"].as_str().is_some_and(|secret| secret.starts_with("chy_cs_")), "{made}");
    let shown = place.json(&["client", "show", "app"]);
    assert!(shown.get("client_secret").is_none(), "a secret is shown once");
    for (name, value) in [
        ("name", "\"My app\""),
        ("grants", r#"["authorization_code","refresh_token"]"#),
        ("scopes", r#"["openid","email","read"]"#),
        ("access_lifetime", "300"),
        ("retry_window", "0"),
        ("require_pkce", "false"),
        ("token_format", "\"jwt:ES256\""),
        ("id_token_alg", "\"EdDSA\""),
        ("auth_method", "\"client_secret_post\""),
        ("refresh_policy", "\"always\""),
        ("skip_consent", "true"),
    ] {
        assert_eq!(shown[name].to_string(), value, "{name}");
    }
    for (command, enabled) in [("disable", false), ("enable", true), ("revoke-tokens", true)] {
        assert_eq!(place.json(&["client", command, "app"])["client_id"], "app");
        assert_eq!(place.json(&["client", "show", "app"])["enabled"], enabled);
    }
    let table = place.run(&["client", "list"]).with_code(0).out;
    assert!(table.starts_with("CLIENT_ID  NAME") && table.contains("\napp        My app  web"), "{table}");
    place.run(&["client", "delete", "app"]).with_code(0);
    assert_eq!(place.json(&["client", "list"]), serde_json::json!([]));
    for command in ["show", "disable", "enable", "delete", "rotate-secret", "revoke-tokens"] {
        let said = place.run(&["client", command, "app"]).with_code(1);
        assert!(said.err.contains("there is no client \"app\""), "{said:?}");
    }
}

#[test]
fn every_fault_of_a_client_is_told_at_once_and_nothing_is_kept() {
    let place = Place::new();
    let said = place.run(&[
        "client",
        "create",
        "my app",
        "--auth-method",
        "none",
        "--grant",
        "client_credentials",
        "--grant",
        "password",
        "--redirect-uri",
        "https://*.example/",
        "--id-token-alg",
        "RS256",
    ]);
    let said = said.with_code(2);
    for word in ["client_id", "password", "redirect URI", "client_credentials", "RS256"] {
        assert!(said.err.contains(word), "{word}: {}", said.err);
    }
    assert_eq!(place.json(&["client", "list"]), serde_json::json!([]));
    place.run(&["client", "create", "app"]).with_code(0);
    let twice = place.run(&["client", "create", "app"]).with_code(1);
    assert!(twice.err.contains("there is already a client"), "{twice:?}");
}

#[test]
fn two_secrets_may_be_valid_and_no_more() {
    let place = Place::new();
    let first = place.json(&["client", "create", "app"])["client_secret"].clone();
    let rotated = place.json(&["client", "rotate-secret", "app", "--keep-old", "24h"]);
    assert_ne!(rotated["client_secret"], first);
    assert!(rotated["old_secret_expires_at"].is_u64(), "{rotated}");
    assert_eq!(place.json(&["client", "show", "app"])["secrets"].as_array().map(Vec::len), Some(2));
    let third = place.run(&["client", "rotate-secret", "app", "--keep-old", "24h"]).with_code(2);
    assert!(third.err.contains("two valid secrets"), "{third:?}");
    assert!(place.json(&["client", "rotate-secret", "app"])["old_secret_expires_at"].is_null());
    assert_eq!(place.json(&["client", "show", "app"])["secrets"].as_array().map(Vec::len), Some(1));
    place.run(&[
        "client",
        "create",
        "public",
        "--auth-method",
        "none",
        "--redirect-uri",
        "https://a.example/",
    ]);
    place.run(&["client", "rotate-secret", "public"]).with_code(2);
}

#[test]
fn a_list_is_in_the_order_in_which_things_were_made() {
    let place = Place::new();
    let uris: Vec<_> = (0..3).map(|n| format!("https://api.example/{n}")).collect();
    uris.iter().for_each(|uri| _ = place.run(&["resource", "create", uri]).with_code(0));
    let listed = place.json(&["resource", "list"]);
    let listed: Vec<_> = listed.as_array().expect("an array").iter().map(|one| one["uri"].clone()).collect();
    assert_eq!(listed, uris);
}

#[test]
fn a_resource_has_an_owner_and_is_deleted() {
    let place = Place::new();
    place.run(&["client", "create", "api"]).with_code(0);
    let made = place.json(&["resource", "create", "https://api.example", "--owner", "api"]);
    assert_eq!(made["owner"], "api");
    assert_eq!(place.json(&["resource", "list"])[0]["owner"], "api");
    place.run(&["resource", "create", "https://b.example", "--owner", "nobody"]).with_code(1);
    place.run(&["resource", "create", "https://b.example#x"]).with_code(2);
    place.run(&["resource", "create", "https://api.example"]).with_code(1);
    place.run(&["resource", "delete", "https://api.example"]).with_code(0);
    let gone = place.run(&["resource", "delete", "https://api.example"]).with_code(1);
    assert!(gone.err.contains("there is no resource"), "{gone:?}");
}

#[test]
fn a_user_is_made_changed_and_deleted_with_the_password_from_standard_input() {
    let place = Place::new();
    let create = [
        "user",
        "create",
        "Bob",
        "--claim",
        "email=bob@example.com",
        "--claim",
        "email_verified=true",
        "--json",
    ];
    let made = place.run_with_input(&create, PASSWORD).with_code(0).json();
    assert_eq!((&made["username"], &made["has_password"]), (&"bob".into(), &true.into()));
    assert_eq!(made["claims"]["email_verified"], true);
    assert!(!made.to_string().contains("argon2"), "hashes stay in the store");
    let sub = made["sub"].as_str().expect("a sub").to_owned();
    for (command, name, enabled) in
        [("disable", "BOB", false), ("enable", sub.as_str(), true), ("sign-out", "bob", true)]
    {
        place.run(&["user", command, name]).with_code(0);
        assert_eq!(place.json(&["user", "list"])[0]["enabled"], enabled);
    }
    place.run_with_input(&["user", "set-password", "bob"], "another long pass phrase").with_code(0);
    let table = place.run(&["user", "list"]).with_code(0).out;
    assert!(table.starts_with("USERNAME") && table.contains(&sub), "{table}");
    place.run(&["user", "delete", "bob"]).with_code(0);
    for command in ["disable", "enable", "delete", "set-password", "sign-out"] {
        let said = place.run_with_input(&["user", command, "bob"], PASSWORD).with_code(1);
        assert!(said.err.contains("there is no user \"bob\""), "{said:?}");
    }
}

/// R51, R53
#[test]
fn a_bad_password_is_refused_with_a_clear_sentence() {
    let place = Place::new();
    for (password, word) in
        [("short\n", "15 characters"), ("passwordpassword\n", "repetition"), ("", "no password")]
    {
        let said = place.run_with_input(&["user", "create", "bob"], password).with_code(2);
        assert!(said.err.contains(word) && !said.err.contains("passwordpassword"), "{said:?}");
    }
    let said =
        place.run_with_input(&["user", "create", "b b", "--claim", "shoe_size=42"], "short").with_code(2);
    assert_eq!(said.err.lines().count(), 3, "all at once: {said:?}");
    assert_eq!(place.json(&["user", "create", "carol", "--no-password"])["has_password"], false);
}

/// R50
#[test]
fn keys_are_rotated_in_two_steps_and_revoked_at_once() {
    let place = Place::new();
    place.run(&["client", "create", "app"]).with_code(0);
    let states = || {
        let keys = place.json(&["keys", "list"]);
        let of = |key: &serde_json::Value| key["state"].as_str().expect("a state").to_owned();
        // Both may have been made in the same second; then their order means nothing.
        let mut states: Vec<_> = keys.as_array().expect("an array").iter().map(of).collect();
        states.sort();
        states
    };
    assert_eq!(states(), Vec::<String>::new());
    assert_eq!(place.json(&["keys", "rotate", "EdDSA"])["done"], "activated");
    assert_eq!(place.json(&["keys", "rotate", "EdDSA"])["done"], "published");
    assert_eq!(states(), ["active", "next"]);
    let early = place.run(&["keys", "rotate", "EdDSA"]).with_code(1);
    assert!(early.err.contains("try again in"), "{early:?}");
    place.run(&["keys", "rotate", "RS256"]).with_code(2);
    let keys = place.json(&["keys", "list"]);
    let active = keys.as_array().expect("an array").iter().find(|key| key["state"] == "active");
    let kid = active.expect("one signs")["kid"].as_str().expect("a kid").to_owned();
    place.run(&["keys", "revoke", &kid]).with_code(0);
    assert_eq!(states(), ["active"], "the published key took over");
    assert_eq!(place.json(&["keys", "list", "--all"]).as_array().map(Vec::len), Some(2));
    let unknown = place.run(&["keys", "revoke", "no-such-kid"]).with_code(1);
    assert!(unknown.err.contains("is next, active or retiring"), "{unknown:?}");
}
