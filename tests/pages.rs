//! Tests the pages of `ister report` in a browser: layout, links, console messages, dark colours, and the width of a
//! phone. They run nightly, because they need Chromium (`ister doctor --install --nightly`).

use crate::common::text;
use ister::plan::Firmware;
use ister::report::boot_paths_svg;
use ister::verify::boot_path::{BootPath, BootPaths, PathStep};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// All formats.
const FORMATS: [&str; 14] = [
    "raw", "qcow2", "vhd", "vhdx", "vmdk", "vdi", "tar.gz", "raw.xz", "raw.zst", "raw.gz", "tar.xz", "oci",
    "iso", "pxe",
];

/// Writes the site of two runs. The second one has a kernel panic, and texts with characters that HTML must escape.
fn site(directory: &Path) {
    let boot = |file: &str, class: &str, report: &str| {
        json!({
            "file": file, "firmware": "uefi", "accelerator": "tcg", "class": class, "seconds": 31.5, "report": report,
            "hardware": {}, "advice": "look at `cmdline`", "look_at": ["vm-tests/kvm/template.json:9:5: `cmdline`"],
            "stages": [
                { "stage": "firmware", "at": 0.0, "took": 4.0 }, { "stage": "loader", "at": 4.0, "took": 1.0 },
                { "stage": "kernel", "at": 5.0, "took": 9.0 }, { "stage": "initramfs", "at": 14.0, "took": 6.5 },
                { "stage": "init", "at": 20.5, "took": 11.0 },
            ],
        })
    };
    for (index, outcome) in [(1, "passed"), (2, "failed")] {
        let out = directory.join(format!("run-{index}"));
        let class = if outcome == "passed" { "login-prompt" } else { "kernel-panic" };
        let step = |kind: &str, name: &str, outcome: &str, boot: Value| {
            let mut step = json!({
                "kind": kind, "name": name, "command": format!("ister {name} --a-long-option=/with/a/path/that/is/long/enough/to/be/a/problem"),
                "outcome": outcome, "seconds": 12.5, "what": class, "lines": ["[    9.1] Kernel panic - not syncing: <b> & \"x\""],
            });
            if !boot.is_null() {
                step["boot"] = boot;
            }
            step
        };
        let results = json!({
            "version": 3,
            "run": {
                "id": format!("nightly-{index}"), "started": format!("2026-01-0{index}T02:17:00Z"), "seconds": 5000.0,
                "revision": format!("{index}123456789abcdef0123456789abcdef01234567"), "planned": ["container", "kvm", "lost"], "ister": "0.1.0",
            },
            "types": [
                { "type": "container", "steps": [step("build", "build", "passed", Value::Null)],
                  "files": FORMATS.map(|format| json!({ "name": format!("container.{format}"), "format": format, "bytes": 44_000_000 })) },
                { "type": "kvm", "packages": { "linux-image-cloud-amd64": format!("6.1.{index}") },
                  "steps": [
                    step("build", "build", "passed", Value::Null),
                    step("verify", "verify kvm.img.xz", "flaky", Value::Null),
                    step("boot", "boot kvm.img.xz", outcome, boot("kvm.img.xz", class, "kvm/report-kvm.img.xz-0")),
                    step("boot", "boot kvm.qcow2", "passed", boot("kvm.qcow2", "login-prompt", "kvm/report-kvm.qcow2-1")),
                  ],
                  "files": [
                    { "name": "kvm.img.xz", "format": "raw.xz", "bytes": 112_000_000 + index },
                    { "name": "kvm.qcow2", "format": "qcow2", "bytes": 160_000_000 },
                  ] },
            ],
        });
        let report = out.join("kvm/report-kvm.img.xz-0");
        std::fs::create_dir_all(&report).unwrap();
        std::fs::write(out.join("results.json"), results.to_string()).unwrap();
        let long = "x".repeat(400);
        std::fs::write(
            report.join("serial.log"),
            format!(
                "\x1b[1mBooting\x1b[0m\r\n{long}\r\n[    9.1] Kernel panic - not syncing: <b> & \"x\"\r\n"
            ),
        )
        .unwrap();
        // A PNG with one grey pixel.
        let picture = base64::Engine::decode(
            &base64::engine::general_purpose::STANDARD,
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==",
        );
        std::fs::write(report.join("screen.png"), picture.unwrap()).unwrap();
        let start = PathStep { title: "systemd-boot <252> & its \"menu\"".to_owned(), ..PathStep::default() };
        let paths = vec![BootPath { firmware: Firmware::Uefi, start }];
        let svg = boot_paths_svg(&BootPaths { paths, kernels: Vec::new() });
        std::fs::write(out.join("kvm/boot-paths-kvm.img.xz.svg"), svg).unwrap();
    }
    let output = Command::new(env!("CARGO_BIN_EXE_ister"))
        .arg("report")
        .args([directory.join("run-1"), directory.join("run-2")])
        .arg("-o")
        .arg(directory.join("site"))
        .arg("--history")
        .arg(directory.join("history.sqlite"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

/// A chromedriver process, which is terminated on drop.
struct Browser {
    driver: Child,
    session: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Browser {
    fn start() -> Browser {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(driver.stdout.take().unwrap());
        let port = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                line.split("started successfully on port ").nth(1)?.trim_end_matches('.').parse::<u16>().ok()
            })
            .expect("chromedriver prints its port");
        let sessions = format!("http://127.0.0.1:{port}/session");
        let options = json!({ "capabilities": { "alwaysMatch": {
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] },
        } } });
        let mut browser = Browser { driver, session: sessions.clone() };
        let answer: Value = ureq::post(&sessions)
            .send(options.to_string())
            .unwrap()
            .body_mut()
            .read_to_string()
            .unwrap()
            .parse()
            .unwrap();
        browser.session = format!("{sessions}/{}", answer["value"]["sessionId"].as_str().unwrap());
        browser
    }

    fn send(&self, command: &str, body: &Value) -> Value {
        let url = format!("{}/{command}", self.session);
        let answer = ureq::post(&url).send(body.to_string()).unwrap().body_mut().read_to_string().unwrap();
        serde_json::from_str::<Value>(&answer).unwrap()["value"].clone()
    }

    fn script(&self, text: &str) -> Value {
        self.send("execute/sync", &json!({ "script": text, "args": [] }))
    }

    fn chromium(&self, command: &str, params: &Value) {
        self.send("goog/cdp/execute", &json!({ "cmd": command, "params": params }));
    }

    fn open(&self, page: &Path) {
        self.send("url", &json!({ "url": format!("file://{}", page.display()) }));
    }
}

/// Finds texts with less than the minimum contrast. Source: WCAG 2.2, 1.4.3.
const CONTRAST: &str = "
    const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
        if (!/, 0\\)$/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
    return [...document.querySelectorAll('body *')].filter(e => [...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim()))
        .filter(e => !e.closest('svg') && e.getClientRects().length)
        .map(e => { const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
            return [(a + 0.05) / (b + 0.05), e.tagName + '.' + e.className + ' ' + e.textContent.trim().slice(0, 40)]; })
        .filter(([ratio]) => ratio < 4.5).map(([ratio, what]) => ratio.toFixed(2) + ' ' + what);";

/// All references of the page, as absolute URLs.
const LINKS: &str = "return [...document.querySelectorAll('a[href], img[src], link[rel=stylesheet]')].map(e => e.href || e.src)";

fn pages_render_correctly_in_browser() {
    let directory = tempfile::tempdir().unwrap();
    site(directory.path());
    let front = directory.path().join("site/index.html");
    let boot = directory.path().join("site/kvm/report-kvm.img.xz-0/index.html");
    let browser = Browser::start();
    for page in [&front, &boot] {
        let mut backgrounds = Vec::new();
        for (width, height, scheme) in
            [(1280, 900, "light"), (1280, 900, "dark"), (390, 844, "light"), (390, 844, "dark")]
        {
            let metrics =
                json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
            browser.chromium("Emulation.setDeviceMetricsOverride", &metrics);
            let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            browser.chromium("Emulation.setEmulatedMedia", &features);
            browser.open(page);
            let what = format!("{} {width} {scheme}", page.display());
            let wide = browser.script("return document.documentElement.scrollWidth - window.innerWidth");
            assert!(wide.as_f64().unwrap() <= 0.0, "{what}: wider than the window by {wide}");
            let scrolled = browser.script("return [...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth).length");
            assert_eq!(scrolled, json!(0), "{what}: some tables must be scrolled");
            let faint = browser.script(CONTRAST);
            assert_eq!(faint, json!([]), "{what}");
            backgrounds.push(browser.script("return getComputedStyle(document.body).backgroundColor"));
        }
        assert_ne!(backgrounds[0], backgrounds[1], "light and dark backgrounds must differ");
        assert_eq!(
            browser.send("se/log", &json!({ "type": "browser" })),
            json!([]),
            "the browser console must be empty"
        );
        let title = browser.script("return document.title");
        assert!(
            title.as_str().unwrap().contains(if page == &front { "nightly-2" } else { "kernel-panic" }),
            "{title}"
        );
        for link in browser.script(LINKS).as_array().unwrap() {
            let link = link.as_str().unwrap();
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let path = Path::new(
                file.strip_prefix("file://").unwrap_or_else(|| panic!("{link} is outside of the site")),
            );
            let text = std::fs::read(path).unwrap_or_else(|error| panic!("{link}: {error}"));
            assert!(
                place.is_empty() || String::from_utf8_lossy(&text).contains(&format!("id=\"{place}\"")),
                "{link}"
            );
        }
    }
    browser.open(&front);
    for (selector, least) in [
        (".matrix tbody tr", 2),
        (".boots tbody tr", 2),
        ("svg.trend", 3),
        ("article.wrong", 1),
        (".alert", 1),
    ] {
        let count = browser.script(&format!("return document.querySelectorAll('{selector}').length"));
        assert!(count.as_u64().unwrap() >= least, "{selector}: {count}");
    }
    let link = "return document.querySelector('article.wrong a').click()";
    browser.script(link);
    assert_eq!(browser.script("return document.querySelectorAll('mark').length"), json!(1));
    let picture = "return [...document.images].every(i => i.complete && i.naturalWidth > 0)";
    assert_eq!(browser.script("return document.images.length"), json!(2));
    let seen = (0..50).any(|round| {
        browser.script(&format!("document.images[{}].scrollIntoView()", round % 2));
        std::thread::sleep(std::time::Duration::from_millis(100));
        browser.script(picture) == json!(true)
    });
    assert!(seen, "the pictures were not loaded");
}

crate::tests! {
    ; nightly:
    pages_render_correctly_in_browser,
}
