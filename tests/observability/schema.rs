//! The dashboards as Grafana's published types have them: the compiler of TypeScript reads them.

use std::{
    path::Path,
    process::{Command, Output},
};

use crate::{observability::boards::BOARDS, servers::shipped};

/// The oldest Grafana that is promised, the last one whose types hold Prometheus's queries too.
const PACKAGES: [&str; 2] = ["@grafana/schema@10.4.19", "typescript@5.8.3"];

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    let ran = Command::new(program).args(arguments).current_dir(folder).output();
    ran.unwrap_or_else(|error| panic!("Missing: {program} ({error}). Install nodejs and npm."))
}

/// What the compiler says of dashboards, by their names.
fn faults(folder: &Path, boards: &[(&str, String)]) -> String {
    let mut files = Vec::new();
    for (name, json) in boards {
        let text =
            format!("import type {{ Board }} from \"./dashboard\";\nexport const board: Board = {json};\n");
        std::fs::write(folder.join(format!("{name}.ts")), text).expect("our folder");
        files.push(format!("{name}.ts"));
    }
    let options = "--noEmit --strict --skipLibCheck --moduleResolution node --module esnext --target es2022";
    let options = options.split(' ').chain(files.iter().map(String::as_str));
    let arguments: Vec<&str> = ["node_modules/typescript/bin/tsc"].into_iter().chain(options).collect();
    String::from_utf8_lossy(&run(folder, "node", &arguments).stdout).into_owned()
}

/// Half a minute, and 30 MB from npm's registry.
#[test]
#[ignore = "slow"]
fn grafanas_types_know_every_field_of_the_dashboards_and_no_misspelt_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save"];
    let installed = run(folder.path(), "npm", &[&install[..], &PACKAGES].concat());
    let said = String::from_utf8_lossy(&installed.stderr);
    assert!(installed.status.success(), "Missing: {PACKAGES:?}. Is npm's registry within reach? {said}");
    std::fs::write(folder.path().join("dashboard.ts"), include_str!("schema/dashboard.ts"))
        .expect("our folder");
    let read = BOARDS.map(|name| (name, shipped(&format!("grafana/dashboards/{name}.json"))));
    let told = faults(folder.path(), &read);
    assert!(told.is_empty(), "{told}");

    // It notices what it is there to notice: everywhere one mistake, in one place of each kind.
    let good = &read[0].1;
    for (right, wrong) in [
        ("\"legendFormat\"", "\"legendFromat\""),
        ("\"reduceOptions\"", "\"reducedOptions\""),
        ("\"fillOpacity\"", "\"fillOpactiy\""),
        ("\"gridPos\"", "\"gridPosition\""),
        ("\"drawStyle\": \"line\"", "\"drawStyle\": \"lines\""),
        ("\"includeAll\": true", "\"includeAll\": \"yes\""),
        ("\"type\": \"bargauge\"", "\"type\": \"bar-gauge\""),
    ] {
        let board = if good.contains(right) { good } else { &read[1].1 };
        assert!(board.contains(right), "{right}");
        let told = faults(folder.path(), &[("broken", board.replacen(right, wrong, 1))]);
        assert!(told.contains("error TS"), "{wrong} is not noticed: {told}");
    }
}
