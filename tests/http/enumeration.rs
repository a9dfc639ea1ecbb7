//! R56 — nobody learns from a failed sign-in who exists: the same bytes, work and time for everybody.

use chancery::store::Effect;

use crate::http::{
    app::Answer,
    browser::{Browser, PASSWORD, add_user, count, request, site},
};

/// What an answer is without the values that are new with each request.
fn constant_part(answer: &Answer, name: &str) -> String {
    let mut text = format!("{}\n", answer.status);
    for (name, value) in
        answer.headers.iter().filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
    {
        text += &format!("{name}: {}\n", value.to_str().expect("an ASCII header"));
    }
    text += &answer.body;
    for field in ["tx", "csrf"] {
        if answer.body.contains(&format!("name=\"{field}\"")) {
            text = text.replace(&answer.field(field), field);
        }
    }
    text.replace(&format!("value=\"{name}\""), "value=NAME")
}

/// R51, R56, T30: byte for byte, but for the name that was typed.
#[tokio::test]
async fn every_failed_sign_in_looks_the_same() {
    let app = site().await;
    let mallory = add_user(&app, "maria").await;
    app.commit(vec![Effect::SetUserEnabled(mallory.id, false)]).await;
    app.user("peter").await;
    let mut browser = Browser::default();
    let begun = browser.get(&app, &request("")).await;
    for path in ["/login", begun.location()] {
        let mut seen = Vec::new();
        for (name, password) in [
            ("alice", "wrong"),
            ("nobob", "wrong"),
            // Disabled, and without a password.
            ("maria", PASSWORD),
            ("peter", PASSWORD),
            ("alice", ""),
            // Longer than is ever hashed.
            ("alice", &"x".repeat(1000)),
            ("nobob", &"x".repeat(1000)),
            ("alice", &"\u{fb03}".repeat(128)),
            ("a b c", PASSWORD),
        ] {
            let page = browser.get(&app, path).await;
            let form = [("username", name), ("password", password)];
            let answer = browser.submit(&app, &page, "/login", &form).await;
            assert_eq!(answer.status, 400, "{name}");
            assert!(!browser.0.contains_key("chancery_session"));
            seen.push(constant_part(&answer, name));
        }
        for other in &seen {
            assert_eq!(*other, seen[0]);
        }
    }
}

/// R56: the work, counted rather than timed: one verification, whoever it is for.
#[tokio::test]
async fn an_unknown_user_costs_the_same_hashing_as_a_known_one() {
    let app = site().await;
    let mallory = add_user(&app, "maria").await;
    app.commit(vec![Effect::SetUserEnabled(mallory.id, false)]).await;
    app.user("peter").await;
    let hashed = || count(&app, "chancery_password_hash_duration_seconds_count", &["operation=\"verify\""]);
    for (name, password, hashes) in [
        ("alice", "wrong", 1),
        ("nobob", "wrong", 1),
        ("maria", PASSWORD, 1),
        ("peter", PASSWORD, 1),
        ("a b c", "wrong", 1),
        ("", "wrong", 1),
        ("alice", "", 1),
        // R51: refused before any hashing, for everybody alike.
        ("alice", &"x".repeat(600), 0),
        ("nobob", &"x".repeat(600), 0),
    ] {
        let before = hashed().await;
        Browser::default().sign_in_as(&app, name, password).await;
        assert_eq!(hashed().await - before, hashes, "{name}");
    }
    assert_eq!(
        count(&app, "chancery_password_hash_duration_seconds_count", &["operation=\"hash\""]).await,
        2
    );
}

/// The p-value of the two-sample Kolmogorov–Smirnov test (asymptotic, with Stephens' correction).
fn same_distribution(one: &mut [f64], other: &mut [f64]) -> f64 {
    one.sort_by(f64::total_cmp);
    other.sort_by(f64::total_cmp);
    let share =
        |sample: &[f64], at: f64| sample.partition_point(|value| *value <= at) as f64 / sample.len() as f64;
    let points = one.iter().chain(other.iter());
    let distance = points.map(|at| (share(one, *at) - share(other, *at)).abs()).fold(0.0, f64::max);
    let size = (one.len() * other.len()) as f64 / (one.len() + other.len()) as f64;
    let lambda = (size.sqrt() + 0.12 + 0.11 / size.sqrt()) * distance;
    let terms = (1..=100).map(|k| {
        let k = f64::from(k);
        (-1.0f64).powf(k - 1.0) * (-2.0 * k * k * lambda * lambda).exp()
    });
    (2.0 * terms.sum::<f64>()).clamp(0.0, 1.0)
}

#[test]
fn the_kolmogorov_smirnov_test_tells_a_difference_from_none() {
    let even = |shift: f64| (0..300).map(|at| f64::from(at * 7919 % 300) + shift).collect::<Vec<_>>();
    assert!(same_distribution(&mut even(0.0), &mut even(0.5)) > 0.9);
    assert!(same_distribution(&mut even(0.0), &mut even(60.0)) < 0.001);
    // The table's critical distance for alpha = 0.05 is 1.358 * sqrt(2 / 300) = 0.1109.
    let p = same_distribution(&mut even(0.0), &mut even(33.0));
    assert!((0.03..0.08).contains(&p), "{p}");
}

/// R56, T30: one after the other in random-looking order, so that whatever else the machine does
/// falls on both alike.
#[tokio::test]
#[ignore = "takes a quarter of a minute and wants a quiet machine"]
async fn unknown_users_and_wrong_passwords_take_the_same_time() {
    const EACH: usize = 400;
    let app = site().await;
    let mut browser = Browser::default();
    let csrf = browser.get(&app, "/login").await.field("csrf");
    let mut times = [const { Vec::new() }; 2];
    for at in 0..2 * EACH + 20 {
        let unknown = at.wrapping_mul(2_654_435_761) >> 7 & 1;
        let name = ["alice", "nobob"][unknown];
        let form = [("csrf", csrf.as_str()), ("username", name), ("password", "not the password")];
        let begun = std::time::Instant::now();
        assert_eq!(browser.post(&app, "/login", &form).await.status, 400);
        // The first ones warm up.
        if at >= 20 {
            times[unknown].push(begun.elapsed().as_secs_f64());
        }
    }
    let [known, unknown] = &mut times;
    assert!(known.len() >= 300 && unknown.len() >= 300, "{} {}", known.len(), unknown.len());
    let p = same_distribution(known, unknown);
    assert!(p > 0.01, "p = {p}");
}
