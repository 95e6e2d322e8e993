//! Template lookup and machine roles, tested with a small server on loopback, and in a network namespace if the tests
//! run as root.

use crate::common::tls::TlsServer;
use crate::common::{ister, text};
use crate::harness::skip;
use ister::content::provision::{Role, role};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Serves the given pages and records the requested paths. It ends with the test process.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(bind: &str, pages: &[(&str, &str)]) -> Server {
        let listener = TcpListener::bind(bind).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let pages: BTreeMap<String, String> =
            pages.iter().map(|(path, page)| (path.to_string(), page.replace("ADDRESS", &address))).collect();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &pages, &log);
            }
        });
        Server { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    stream: TcpStream,
    pages: &BTreeMap<String, String>,
    requests: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    requests.lock().unwrap().push(path.clone());
    let (status, body) = match pages.get(&path) {
        Some(page) => ("200 OK", page.as_str()),
        None => ("404 Not Found", ""),
    };
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    reader.get_mut().write_all((head + body).as_bytes())
}

/// A template with one error: the messages show which template was used, and nothing is built.
const FAULTY: &str = r#"{ "DestinationType": "nowhere" }"#;

/// Runs ister.py with these arguments and returns its exit code and stderr.
fn ister_py(directory: &Path, args: &[&str]) -> (Option<i32>, String) {
    let program = directory.join("ister.py");
    if !program.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ister"), &program).unwrap();
    }
    let log = directory.join("log");
    let output = Command::new(&program)
        .args(args)
        .arg("-l")
        .arg(&log)
        .env("NO_COLOR", "1")
        .env("no_proxy", "*")
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = text(&output.stderr);
    let logged = std::fs::read_to_string(log).unwrap();
    // The log has its own level field instead of the prefix on the console.
    let bare = |line: &str| line.trim_start_matches("ister: ").trim_start_matches("warning: ").to_owned();
    for line in stderr.lines().filter(|line| !line.is_empty()) {
        assert!(logged.contains(&bare(line)), "`{line}` is not in the log:\n{logged}");
    }
    (output.status.code(), stderr)
}

fn template_lookup_order_matches_ister_py() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let server = Server::start(
        "127.0.0.1:0",
        &[
            ("/conf?machine=a=b", "template=http://ADDRESS/by-kernel.json\n"),
            ("/by-kernel.json", FAULTY),
            ("/by-conf.json", FAULTY),
            ("/itself", FAULTY),
        ],
    );
    let address = &server.address;
    std::fs::write(path("named.json"), FAULTY).unwrap();
    std::fs::write(path("empty"), "quiet\n").unwrap();
    std::fs::write(path("kernel"), format!("quiet isterconf=http://{address}/conf?machine=a=b rw\n"))
        .unwrap();
    std::fs::write(path("exit"), "quiet ister.exit\n").unwrap();
    std::fs::write(path("itself"), format!("isterconf=http://{address}/itself\n")).unwrap();
    std::fs::write(path("ssh"), "ister.root_ssh\n").unwrap();
    std::fs::write(path("conf"), format!("template=http://{address}/by-conf.json\nmore")).unwrap();
    std::fs::write(path("conf-file"), format!("template=file://{}/named.json\n", directory.path().display()))
        .unwrap();
    std::fs::write(path("conf-nothing"), "template=\n").unwrap();

    let run = |args: &[&str]| ister_py(directory.path(), args);
    let reports_error_in = |args: &[&str], name: &str| {
        let (code, stderr) = run(args);
        assert_eq!(code, Some(1), "{stderr}");
        assert!(stderr.contains(&format!("--> {name}")), "{args:?}: {stderr}");
    };
    reports_error_in(&["-t", "named.json", "-c", "conf", "-k", "kernel"], "named.json");
    reports_error_in(&["-c", "conf", "-k", "kernel"], &format!("http://{address}/by-kernel.json"));
    reports_error_in(&["-c", "conf", "-k", "empty"], &format!("http://{address}/by-conf.json"));
    reports_error_in(
        &["-c", "conf-file", "-k", "empty"],
        &format!("file://{}/named.json", directory.path().display()),
    );
    reports_error_in(&["-c", "named.json", "-k", "empty"], "named.json");
    reports_error_in(&["-k", "itself"], &format!("http://{address}/itself"));
    assert!(server.requests().contains(&"/conf?machine=a=b".to_owned()), "{:?}", server.requests());

    assert_eq!(run(&["-t", "named.json", "-k", "exit"]).0, Some(13));
    let (code, stderr) = run(&["-t", "named.json", "-k", "ssh"]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("warning: ister.root_ssh: anyone on the network can log in to this machine as root"),
        "{stderr}"
    );
    assert!(stderr.contains("ister.root_ssh ignored: `ssh` is not"), "{stderr}");
    for (args, wanted) in [
        (&["-c", "conf-nothing", "-k", "empty"][..], "missing URL after `template=` in `conf-nothing`"),
        (&["-c", "nosuch", "-k", "empty"], "could not read the configuration `nosuch`"),
        (&["-k", "nosuch"], "could not read the kernel command line `nosuch`"),
    ] {
        let (code, stderr) = run(args);
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(wanted), "{args:?}: {stderr}");
    }
}

/// Fetches over https with a certificate that the host trusts, and with an untrusted one.
fn https_uses_the_certificates_of_the_host() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let server = TlsServer::start(directory.path());
    std::fs::write(path("t.json"), FAULTY).unwrap();
    std::fs::write(path("conf"), format!("template={}/t.json\n", server.url)).unwrap();
    let run = |certificates: &Path| {
        let output = Command::new(env!("CARGO_BIN_EXE_ister"))
            .args(["-c", "conf", "-k", "/dev/null"])
            .env("SSL_CERT_FILE", certificates)
            .env("NO_COLOR", "1")
            .env("no_proxy", "*")
            .current_dir(directory.path())
            .output()
            .unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (trusted, untrusted) = (run(&server.authority), run(Path::new("/etc/ssl/certs/ca-certificates.crt")));
    assert_eq!(trusted.0, Some(1), "{}", trusted.1);
    assert!(trusted.1.contains(&format!("--> {}/t.json", server.url)), "{}", trusted.1);
    assert_eq!(untrusted.0, Some(3), "{}", untrusted.1);
    assert!(untrusted.1.contains("could not fetch `https://localhost"), "{}", untrusted.1);
}

/// Accepts all options that mixer passes. The boot tests cover builds with its content.
fn options_of_mixer_are_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let template = ister(&["new", "kvm", "--software-manager", "swupd"]).output().unwrap();
    std::fs::write(directory.path().join("t.json"), &template.stdout).unwrap();
    let args =
        "-S state -t t.json -V file:///mix/update/www -C file:///mix/update/www -f 1 -s Swupd_Root.pem";
    let (code, stderr) = ister_py(directory.path(), &args.split(' ').collect::<Vec<_>>());
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("could not read the certificate `Swupd_Root.pem`"), "{stderr}");
}

fn role_is_looked_up_by_mac_address() {
    let pages = |config: &'static str| {
        [
            ("/svc/get_config/00:00:00:00:00:00", config),
            ("/svc/get_role/web", "#cloud-config\nhostname: web\n"),
        ]
    };
    let web = Some(Role { name: "web".into(), user_data: b"#cloud-config\nhostname: web\n".to_vec() });
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let server = Server::start(bind, &pages(r#"{"role": "web"}"#));
        assert_eq!(role(&format!("http://{}/svc/", server.address)).unwrap(), web, "{bind}");
        assert_eq!(server.requests(), ["/svc/get_config/00:00:00:00:00:00", "/svc/get_role/web"]);
    }
    let none = Server::start("127.0.0.1:0", &pages("{}"));
    assert_eq!(role(&format!("http://{}/svc/", none.address)).unwrap(), None);
    let unknown = Server::start("127.0.0.1:0", &[]);
    assert_eq!(role(&format!("http://{}/svc/", unknown.address)).unwrap(), None);
    let missing = Server::start("127.0.0.1:0", &pages(r#"{"role": "database"}"#));
    let failure = role(&format!("http://{}/svc/", missing.address)).unwrap_err();
    assert!(failure.details[0].contains("could not fetch the role `database`"), "{failure}");
    let nonsense = Server::start("127.0.0.1:0", &pages("<html>"));
    assert!(role(&format!("http://{}/svc/", nonsense.address)).is_err());
}

/// A server that is down is retried for a while, then reported as an error before anything is written.
fn unavailable_service_stops_the_build_before_writing() {
    let directory = tempfile::tempdir().unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let template = std::fs::read_to_string("vm-tests/kvm/template.json").unwrap();
    std::fs::write(directory.path().join("t.json"), template).unwrap();
    let service = format!("IsterCloudInitSvc=\"http://{address}/\"");
    let started = Instant::now();
    let (code, stderr) = ister_py(directory.path(), &["-t", "t.json", "--set", &service]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("could not query the role of this machine from"), "{stderr}");
    assert!(started.elapsed() >= Duration::from_secs(12), "requests are retried for a while");
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("kvm.img")), "{left:?}");
}

/// A service in another network namespace: the request contains the MAC address of our end of the veth pair.
fn mac_address_is_that_of_the_interface_with_the_route() {
    let name = format!("ister{}", std::process::id());
    let (ours, theirs) = (format!("io{}", std::process::id()), format!("it{}", std::process::id()));
    let sh =
        |line: String| Command::new("sh").args(["-ec", &line]).status().is_ok_and(|status| status.success());
    let made = sh(format!(
        "ip netns add {name}
         ip link add {ours} type veth peer name {theirs} netns {name}
         ip addr add 198.51.100.1/24 dev {ours}; ip addr add fd00:51::1/64 dev {ours} nodad; ip link set {ours} up
         ip -n {name} addr add 198.51.100.2/24 dev {theirs}; ip -n {name} addr add fd00:51::2/64 dev {theirs} nodad
         ip -n {name} link set {theirs} up; ip -n {name} link set lo up"
    ));
    let clean = || sh(format!("ip link del {ours} 2>/dev/null; ip netns del {name} 2>/dev/null; true"));
    if !made {
        clean();
        skip("requires root and network namespaces");
    }
    let directory = tempfile::tempdir().unwrap();
    let mac = std::fs::read_to_string(format!("/sys/class/net/{ours}/address")).unwrap().trim().to_owned();
    std::fs::create_dir_all(directory.path().join("get_config")).unwrap();
    std::fs::create_dir_all(directory.path().join("get_role")).unwrap();
    std::fs::write(directory.path().join("get_config").join(&mac), r#"{"role": "node"}"#).unwrap();
    std::fs::write(directory.path().join("get_role/node"), "data").unwrap();
    let script = "import http.server, socket
class Both(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Both(('::', 8000), http.server.SimpleHTTPRequestHandler).serve_forever()";
    let mut server = Command::new("ip")
        .args(["netns", "exec", &name, "python3", "-c", script])
        .current_dir(directory.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let found: Vec<_> =
        ["198.51.100.2", "[fd00:51::2]"].iter().map(|host| role(&format!("http://{host}:8000/"))).collect();
    let _ = server.kill();
    let _ = server.wait();
    sleep(Duration::from_millis(10));
    clean();
    for role in found {
        assert_eq!(role.unwrap(), Some(Role { name: "node".into(), user_data: b"data".to_vec() }));
    }
}

crate::tests! {
    template_lookup_order_matches_ister_py,
    https_uses_the_certificates_of_the_host,
    options_of_mixer_are_accepted,
    role_is_looked_up_by_mac_address,
    unavailable_service_stops_the_build_before_writing,
    mac_address_is_that_of_the_interface_with_the_route,
}
