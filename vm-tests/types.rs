//! `ister test` and `ister publish`: a type is tested, and only tested files can be published.

use super::command_line::{CONSOLE, HOSTILE};
use super::{Outcome, World, expect, ister, run};
use libtest_mimic::Failed;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// kvm-legacy with BIOS, as qcow2 on a larger disk, with a login over ssh and no failed units, before and after a
/// kernel update.
pub fn kvm_legacy(world: &World) -> Outcome {
    let out = prove(world, "kvm-legacy", "kvm-legacy.qcow2", false)?;
    let xml = std::fs::read_to_string(out.join("junit.xml")).map_err(|e| e.to_string())?;
    expect(
        xml.contains("<testsuite name=\"kvm-legacy\" tests=\"4\" skipped=\"0\" errors=\"0\" failures=\"0\""),
        &xml,
    )?;

    let directory = out.join("kvm-legacy");
    let receipt = read(&directory.join("kvm-legacy.qcow2.receipt.json"))?;
    let verdict = &receipt["verdict"];
    expect(
        verdict["firmware"] == "bios" && verdict["again"]["seconds"].as_f64() > Some(1.0),
        &format!("{receipt:#}"),
    )?;
    expect(
        receipt["firmware"]["sha256"].as_str().is_some_and(|hash| hash.len() == 64),
        "the receipt does not contain the firmware",
    )?;
    expect(
        receipt["emulator"].as_str().is_some_and(|text| text.contains("QEMU emulator version")),
        "the receipt does not contain the QEMU version",
    )?;
    let answers = verdict["answers"].as_array().ok_or("no answers")?;
    expect(answers[0]["lines"][0] == "running", &format!("the system is not running: {answers:?}"))?;

    updated(verdict)?;
    publish(world, &directory)
}

/// kvm with UEFI: systemd-boot and kernel-install. The same kernel package is reinstalled first; with a FAT filesystem
/// on /boot, as in other images, dpkg cannot replace it.
pub fn kvm_update(world: &World) -> Outcome {
    let out = prove(world, "kvm", "kvm.qcow2", true)?;
    let receipt = read(&out.join("kvm/kvm.qcow2.receipt.json"))?;
    let result = updated(&receipt["verdict"]);
    std::fs::remove_dir_all(out.join("kvm")).map_err(|e| e.to_string())?;
    result
}

/// Another kernel ran at the end, and an ordinary package was upgraded too.
fn updated(verdict: &Value) -> Outcome {
    let update = &verdict["update"];
    let [from, to] = [&update["from"], &update["to"]].map(|version| version.as_str().unwrap_or_default());
    expect(!from.is_empty() && !to.is_empty() && from != to, &format!("{update:#}"))?;
    expect(verdict["kernel"]["version"] == to, &format!("{:#}", verdict["kernel"]))?;
    expect(
        update["fallback"] == true,
        &format!("the old kernel was not booted from the boot loader's menu: {update:#}"),
    )?;
    let packages = update["packages"].to_string();
    expect(packages.contains("netbase"), &packages)
}

/// Builds a type as a single qcow2, and boots it with an update on a larger disk. Returns the directory of the results.
fn prove(world: &World, name: &str, file: &str, reinstall: bool) -> Result<std::path::PathBuf, Failed> {
    let types = world.path(&format!("types-{name}"));
    let kind = types.join(name);
    std::fs::create_dir_all(&kind).map_err(|e| e.to_string())?;
    // Special characters on the command line reach the new kernel too.
    let template =
        std::fs::read_to_string(format!("vm-tests/{name}/template.json")).map_err(|e| e.to_string())?;
    let line = Value::from(format!("{CONSOLE}{HOSTILE}"));
    let changed = template.replacen('{', &format!("{{\n    \"cmdline\": {line},"), 1);
    std::fs::write(kind.join("template.json"), changed).map_err(|e| e.to_string())?;
    let definition = json!({
        "formats": ["qcow2"],
        "boots": [{
            "file": file, "hardware": { "cpus": 2 }, "ssh": true, "update": true, "reinstall": reinstall, "grow": "+1G",
        }],
    });
    std::fs::write(kind.join("type.json"), definition.to_string()).map_err(|e| e.to_string())?;
    // The image of kvm-legacy is used for broken images later.
    let out = world.path(if name == "kvm-legacy" { "test" } else { "test-kvm" });
    let junit = out.join("junit.xml");
    let args = ["test", "--format", "json"];
    let results = ister(&args, &[("--directory", &types), ("-o", &out), ("--junit", &junit)], 0)?;
    let steps = results["types"][0]["steps"].as_array().ok_or("no steps")?;
    let told: Vec<String> =
        steps.iter().map(|step| format!("{}: {}", step["name"], step["outcome"])).collect();
    expect(steps.len() == 4 && told.iter().all(|step| step.ends_with("\"passed\"")), &format!("{told:?}"))?;
    Ok(out)
}

fn read(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| e.to_string())
}

/// The test key of RFC 8410, 10.1 and 10.3.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

/// Publishes files signed with a new key, and verifies them with its public key.
fn publish(world: &World, from: &Path) -> Outcome {
    let home = tempfile::tempdir().map_err(|e| e.to_string())?;
    let gpg = |args: &[&str]| {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(home.path()).args(["--batch", "--quiet", "--pinentry-mode", "loopback"]);
        let output = command.args(args).output().map_err(|e| e.to_string())?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    };
    gpg(&["--passphrase", "", "--quick-gen-key", "releases@example.org", "ed25519", "sign", "1d"])?;
    let keys = world.path("releases.asc");
    std::fs::write(&keys, gpg(&["--armor", "--export", "releases@example.org"])?)
        .map_err(|e| e.to_string())?;
    let public = world.path("public");
    let _ = std::fs::remove_dir_all(&public);
    let (private, attested_by) = (world.path("attest.pem"), world.path("attest.pub.pem"));
    std::fs::write(&private, PRIVATE).map_err(|e| e.to_string())?;
    std::fs::write(&attested_by, PUBLIC).map_err(|e| e.to_string())?;
    let publish_as = |key: &str, code: i32| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ister"));
        command.args(["publish", "--prefix", "clear", "--sign", key, "--attest"]);
        command.arg(&private).arg("-o").arg(&public).arg(from);
        let output = command.env("GNUPGHOME", home.path()).output().map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() == Some(code) {
            Ok(said)
        } else {
            Err(format!("expected {code}: {}: {said}", output.status))
        }
    };
    let said = publish_as("nobody@example.org", 3)?;
    expect(said.contains("could not sign with the key `nobody@example.org`") && !public.exists(), &said)?;
    let publish = |code: i32| publish_as("releases@example.org", code);
    publish(0)?;
    let name = "clear-bookworm-kvm-legacy.qcow2";
    let listed =
        run("sh", &["-ec", "cd \"$1\"; sha512sum -c SHA512SUMS; ls", "sh", public.to_str().unwrap()])?;
    let expected =
        format!("{name}: OK\nSHA512SUMS\nSHA512SUMS.asc\n{name}\n{name}.intoto.json\n{name}.receipt.json\n");
    expect(listed == expected, &listed)?;
    let sums = public.join("SHA512SUMS");
    let verify =
        |code: i32| ister(&["verify", sums.to_str().unwrap()], &[("--signed-by", &keys)], code).map(|_| ());
    verify(0)?;
    let image = public.join(name);
    let attestation = public.join(format!("{name}.intoto.json"));
    let attested = |code: i32| {
        let paths =
            [("--attestation", attestation.as_path()), ("--attested-by", &attested_by), ("--", &image)];
        ister(&["verify", "--format", "json", "--no-plan"], &paths, code).map(|_| ())
    };
    attested(0)?;
    // A modified file, and a modified list.
    let path = public.join(name);
    let flip = |path: &Path| -> std::io::Result<()> {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options().read(true).write(true).open(path)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, 200_000)?;
        file.write_all_at(&[byte[0] ^ 1], 200_000)
    };
    flip(&path).map_err(|e| e.to_string())?;
    verify(1)?;
    attested(1)?;
    flip(&path).map_err(|e| e.to_string())?;
    verify(0)?;
    let text = std::fs::read_to_string(&sums).map_err(|e| e.to_string())?;
    std::fs::write(&sums, format!("{}  more\n{text}", "0".repeat(128))).map_err(|e| e.to_string())?;
    verify(1)?;
    std::fs::write(&sums, text).map_err(|e| e.to_string())?;
    // A file that was not tested cannot be published, because its receipt is for other content.
    let image = from.join("kvm-legacy.qcow2");
    flip(&image).map_err(|e| e.to_string())?;
    let said = publish(3)?;
    flip(&image).map_err(|e| e.to_string())?;
    expect(said.contains("no valid receipt for") && said.contains("the image has changed"), &said)?;
    let _ = Command::new("gpgconf").arg("--homedir").arg(home.path()).args(["--kill", "all"]).output();
    std::fs::remove_dir_all(&public).map_err(|e| e.to_string().into())
}
