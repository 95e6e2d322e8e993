//! docs/tutorial.md: every command of the page, in order, in an empty directory.

use super::{Outcome, World, expect};
use std::process::Command;

/// The commands of the page. Blocks of other languages are examples or output.
fn script(page: &str) -> String {
    let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    let mut script = "set -e\n".to_owned();
    for block in blocks {
        script += block;
        script.push('\n');
    }
    script
}

pub(super) fn every_command_works(world: &World) -> Outcome {
    let directory = world.path("tutorial");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir(&directory).map_err(|e| e.to_string())?;
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_ister")).parent().ok_or("no directory")?;
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new("sh")
        .arg("-c")
        .arg(script(include_str!("../docs/tutorial.md")))
        .current_dir(&directory)
        .env("PATH", path)
        .env("NO_COLOR", "1")
        .output()
        .map_err(|e| e.to_string())?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    expect(output.status.success(), &format!("{stdout}{stderr}"))?;
    for line in ["1 template checked: 0 errors", "Hello from ister", "/dev/vda2", "reached the login prompt"]
    {
        expect(stdout.contains(line), &format!("`{line}` is missing: {stdout}{stderr}"))?;
    }
    // The template that the page shows is the one next to it.
    let written = std::fs::read_to_string(directory.join("web.json")).map_err(|e| e.to_string())?;
    let template = |text: &str| -> serde_json::Value {
        let mut value: serde_json::Value = serde_json::from_str(text).expect("a template");
        for key in ["$schema", "$comment"] {
            value.as_object_mut().expect("an object").remove(key);
        }
        // The file has a key in it, so that it needs no other file.
        value["Users"][0]["key"] = serde_json::Value::Null;
        value
    };
    expect(
        template(&written) == template(include_str!("../docs/tutorial.json")),
        "docs/tutorial.json differs from the template that the page builds",
    )
}
