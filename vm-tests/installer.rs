//! Unattended installation, as with a provisioning server. An installer image with all content boots on a machine with
//! an empty second disk, finds the URL of its configuration on the kernel command line, installs, and powers off. Then
//! the second disk boots, and its first boot applies the machine's role.

use super::{Outcome, World, expect, ister};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The MAC address of QEMU's first network card.
const MAC: &str = "52:54:00:12:34:56";

const USER_DATA: &str = "#cloud-config
write_files:
  - path: /etc/role
    content: web
";

type Pages = Arc<Mutex<BTreeMap<String, String>>>;

/// A server on the loopback interface, which guests reach as 10.0.2.2. It ends with the test process.
fn serve(pages: &Pages) -> std::io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let pages = Arc::clone(pages);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut first = String::new();
            let mut line = String::new();
            let _ = reader.read_line(&mut first);
            while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
                line.clear();
            }
            let path = first.split(' ').nth(1).unwrap_or_default();
            let page = pages.lock().expect("no thread panics").get(path).cloned();
            let (status, body) = page.map_or(("404 Not Found", String::new()), |page| ("200 OK", page));
            let head =
                format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = reader.get_mut().write_all((head + &body).as_bytes());
        }
    });
    Ok(port)
}

pub fn installer(world: &World) -> Outcome {
    let pages = Pages::default();
    let port = serve(&pages).map_err(|e| e.to_string())?;
    let target =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("vm-tests/installer/target.json"))
            .map_err(|e| e.to_string())?
            .replace(":8000/", &format!(":{port}/"));
    let set =
        |path: &str, page: String| drop(pages.lock().expect("no thread panics").insert(path.into(), page));
    set("/ister.conf?machine=lab=1", format!("template=http://10.0.2.2:{port}/target.json\n"));
    set("/target.json", target.clone());
    set(&format!("/svc/get_config/{MAC}"), r#"{"role": "web"}"#.into());
    set("/svc/get_role/web", USER_DATA.into());

    let conf = format!("isterconf=http://10.0.2.2:{port}/ister.conf?machine=lab=1");
    let cmdline = format!("cmdline=\"{conf} ister.root_ssh\"");
    let build = ["build", "vm-tests/installer/template.json", "-q", "--set", &cmdline];
    let carry = ["--carry", "vm-tests/installer/target.json"];
    ister(&[&build[..], &carry].concat(), &[("-o", &world.directory)], 0)?;
    let medium = world.path("installer.img");
    ister(&["verify", "-q", medium.to_str().unwrap()], &[], 0)?;

    install_and_boot(world, &medium, &[])?;

    // The same medium with another template, whose root is encrypted.
    let mut encrypted: Value = serde_json::from_str(&target).map_err(|e| e.to_string())?;
    let volume = serde_json::json!({ "name": "cryptroot", "passphrase": "the root's own passphrase" });
    encrypted["FilesystemTypes"][1]["encryption"] = volume.clone();
    encrypted["PartitionMountPoints"][1]["encryption"] = volume;
    set("/target.json", encrypted.to_string());
    install_and_boot(world, &medium, &["--unlock", "cryptroot=env:ISTER_TEST_ROOT"])?;

    // Without a configuration the installer installs nothing and keeps running. root can log in over ssh, as set on the
    // kernel command line.
    pages.lock().expect("no thread panics").clear();
    let key = world.path("installer-key");
    std::fs::write(&key, "").map_err(|e| e.to_string())?;
    let ssh = format!("root={}", key.display());
    let report = world.path("installer-report");
    let look =
        ["--ssh", &ssh, "--run", "id -un; systemctl is-failed ister-installer.service", "--network", "host"];
    let verdict = ister(
        &[&["boot", medium.to_str().unwrap(), "--format", "json"][..], &look].concat(),
        &[("--report", &report)],
        0,
    )?;
    let answers = verdict["answers"].to_string();
    expect(
        answers.contains(r#"["root","failed"]"#),
        &format!("expected root and a failed installation: {answers}"),
    )?;
    std::fs::remove_file(key).map_err(|e| e.to_string())?;
    std::fs::remove_file(medium).map_err(|e| e.to_string().into())
}

/// Boots the medium with an additional empty disk, and then this disk alone.
fn install_and_boot(world: &World, medium: &Path, unlock: &[&str]) -> Outcome {
    let disk = world.path("installed.img");
    File::create(&disk).and_then(|file| file.set_len(4 << 30)).map_err(|e| e.to_string())?;
    let report = world.path("installer-report");
    let machine = ["--until", "power-off", "--network", "host", "--memory", "2048", "--timeout", "900"];
    let args = [&["boot", medium.to_str().unwrap(), "--format", "json"][..], &machine].concat();
    let verdict = ister(&args, &[("--second-disk", &disk), ("--report", &report)], 0)?;
    expect(verdict["class"] == "powered-off", &format!("the installer did not power off: {verdict:#}"))?;
    let log = std::fs::read_to_string(report.join("serial.log")).map_err(|e| e.to_string())?;
    expect(log.contains("role: web"), "the role was not found")?;
    expect(!log.contains("the root's own passphrase"), "a secret was printed")?;

    let report = world.path("installed-report");
    // cloud-init also prints to the console.
    let look = "cloud-init status --wait >/dev/null 2>&1; echo \"role=$(cat /etc/role) host=$(hostname)\"";
    let inside = ["--login", "ada=env:ISTER_TEST_PASSWORD", "--run", look];
    let args = [&["boot", disk.to_str().unwrap(), "--format", "json"][..], unlock, &inside].concat();
    let verdict = ister(&args, &[("--report", &report)], 0)?;
    let answers = verdict["answers"].as_array().ok_or("no answers")?;
    let lines = answers.last().map(|answer| answer["lines"].to_string()).unwrap_or_default();
    expect(lines.contains("role=web host=installed"), &format!("the role was not applied: {lines}"))?;
    std::fs::remove_file(disk).map_err(|e| e.to_string().into())
}
