//! Unattended installation, as a provisioning server does it: an installer image that carries everything starts in a
//! machine with an empty second disk, learns from its kernel command line where its configuration is, installs, switches
//! itself off; then that disk boots, and its first boot does what the machine's role says.

use super::{Outcome, World, expect, ister};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// QEMU's first network card.
const MAC: &str = "52:54:00:12:34:56";

const USER_DATA: &str = "#cloud-config
write_files:
  - path: /etc/role
    content: web
";

type Pages = Arc<Mutex<BTreeMap<String, String>>>;

/// A server on loopback, which guests reach as 10.0.2.2. It ends with the test's process.
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
            let page = pages.lock().expect("nobody panics with it").get(path).cloned();
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
    let set = |path: &str, page: String| {
        drop(pages.lock().expect("nobody panics with it").insert(path.into(), page))
    };
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

    // The same medium, another template: the root is encrypted.
    let mut encrypted: Value = serde_json::from_str(&target).map_err(|e| e.to_string())?;
    let volume = serde_json::json!({ "name": "cryptroot", "passphrase": "the root's own passphrase" });
    encrypted["FilesystemTypes"][1]["encryption"] = volume.clone();
    encrypted["PartitionMountPoints"][1]["encryption"] = volume;
    set("/target.json", encrypted.to_string());
    install_and_boot(world, &medium, &["--unlock", "cryptroot=env:ISTER_TEST_ROOT"])?;

    // Without a configuration it installs nothing and stays on; root gets in over ssh, as the kernel command line says.
    pages.lock().expect("nobody panics with it").clear();
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
        &format!("root is there, and nothing was installed: {answers}"),
    )?;
    std::fs::remove_file(key).map_err(|e| e.to_string())?;
    std::fs::remove_file(medium).map_err(|e| e.to_string().into())
}

/// Starts the medium with an empty disk beside it, and then that disk alone.
fn install_and_boot(world: &World, medium: &Path, unlock: &[&str]) -> Outcome {
    let disk = world.path("installed.img");
    File::create(&disk).and_then(|file| file.set_len(4 << 30)).map_err(|e| e.to_string())?;
    let report = world.path("installer-report");
    let machine = ["--until", "power-off", "--network", "host", "--memory", "2048", "--timeout", "900"];
    let args = [&["boot", medium.to_str().unwrap(), "--format", "json"][..], &machine].concat();
    let verdict = ister(&args, &[("--second-disk", &disk), ("--report", &report)], 0)?;
    expect(verdict["class"] == "powered-off", &format!("it switched itself off: {verdict:#}"))?;
    let log = std::fs::read_to_string(report.join("serial.log")).map_err(|e| e.to_string())?;
    expect(log.contains("role: web"), "it learned its role")?;
    expect(!log.contains("the root's own passphrase"), "no secret is said")?;

    let report = world.path("installed-report");
    // cloud-init writes on the console as well.
    let look = "cloud-init status --wait >/dev/null 2>&1; echo \"role=$(cat /etc/role) host=$(hostname)\"";
    let inside = ["--login", "ada=env:ISTER_TEST_PASSWORD", "--run", look];
    let args = [&["boot", disk.to_str().unwrap(), "--format", "json"][..], unlock, &inside].concat();
    let verdict = ister(&args, &[("--report", &report)], 0)?;
    let answers = verdict["answers"].as_array().ok_or("no answers")?;
    let lines = answers.last().map(|answer| answer["lines"].to_string()).unwrap_or_default();
    expect(lines.contains("role=web host=installed"), &format!("the role is at work: {lines}"))?;
    std::fs::remove_file(disk).map_err(|e| e.to_string().into())
}
