//! What builds with the feature `profiling` show on the operations listener.

use std::time::Duration;

use crate::http::app::TestApp;

#[tokio::test]
async fn a_flame_graph_shows_what_the_server_does() {
    let app = TestApp::start().await;
    app.client("web", |client| client.introspect_any = true).await;
    let token = app.machine_token("web").await;
    let load = async {
        loop {
            app.introspect("web", &token).await;
        }
    };
    let second = async {
        // While the first is being taken.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = app.get_operations("/debug/profile?seconds=1").await;
        assert_eq!(second.error(), (409, "busy".into()));
        std::future::pending::<()>().await;
    };
    let profile = tokio::select! {
        profile = app.get_operations("/debug/profile?seconds=5") => profile,
        () = load => unreachable!("it has no end"),
        () = second => unreachable!("it has no end"),
    };
    assert_eq!((profile.status, profile.header("content-type")), (200, "image/svg+xml"), "{profile:?}");
    let frames: Vec<_> =
        profile.body.split("<title>").skip(1).map(|rest| &rest[..rest.len().min(80)]).collect();
    assert!(frames.iter().any(|frame| frame.contains("chancery")), "{frames:#?}");
}

#[tokio::test]
async fn a_profile_takes_a_minute_at_most_and_is_not_public() {
    let app = TestApp::start().await;
    for seconds in ["0", "61", "-1", "x"] {
        assert_eq!(app.get_operations(&format!("/debug/profile?seconds={seconds}")).await.status, 400);
    }
    for path in ["/debug/profile", "/debug/runtime"] {
        assert_eq!(app.get(path).await.status, 404);
        assert_eq!(app.request("POST", path).send().await.expect("an answer").status(), 404);
    }
}

#[tokio::test]
async fn figures_of_runtimes_and_allocator_are_told() {
    let app = TestApp::start().await;
    let statistics = app.get_operations("/debug/runtime").await.json();
    let runtimes = statistics["runtimes"].as_array().expect("a list");
    for name in ["public", "operations"] {
        let runtime = runtimes.iter().find(|runtime| runtime["name"] == name).expect("it is watched");
        assert!(runtime["parks_total"].as_u64().expect("a number") > 0, "{runtime}");
    }
    let bytes = |name: &str| statistics["allocator"][name].as_u64().expect("a number");
    assert!(bytes("allocated_bytes") > 100_000 && bytes("allocated_bytes") <= bytes("most_allocated_bytes"));
    assert!(bytes("allocated_bytes_total") > bytes("allocated_bytes"));
}
