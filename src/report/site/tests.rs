use super::*;
use crate::boot::{
    Accelerator, CheckOutcome, CheckResult, Class, CloudRequest, Hardware, Stage, StageTime, Start,
};
use crate::imagetest::history::{Green, PastSize, PastStep};
use crate::imagetest::{FileRecord, RESULTS_VERSION, Results, StepKind, StepOutcome, TestRun, merge};
use crate::plan::Firmware;

fn step(kind: StepKind, name: &str, outcome: StepOutcome, boot: Option<BootRecord>) -> StepRecord {
    StepRecord {
        kind,
        name: name.to_owned(),
        command: format!("ister {name}"),
        outcome,
        seconds: 12.0,
        what: boot.as_ref().map(|boot| boot.class.to_string()).unwrap_or_default(),
        lines: vec!["Kernel panic <now> & \u{1b}".to_owned()],
        earlier: Vec::new(),
        boot,
    }
}

fn boot(file: &str, class: Class) -> BootRecord {
    BootRecord {
        file: file.to_owned(),
        firmware: Firmware::Uefi,
        accelerator: Accelerator::Tcg,
        hardware: Hardware::default(),
        start: Start::Firmware,
        class,
        seconds: 30.0,
        stages: vec![
            StageTime { stage: Stage::Firmware, at: 0.0, took: 10.0 },
            StageTime { stage: Stage::Kernel, at: 10.0, took: 20.0 },
        ],
        advice: Some("look at `cmdline`".to_owned()),
        look_at: Vec::new(),
        cloud_requests: vec![CloudRequest {
            method: "PUT".to_owned(),
            path: "/latest/api/token".to_owned(),
            status: 200,
            count: 2,
        }],
        checks: vec![CheckResult {
            check: "port tcp:80".to_owned(),
            outcome: CheckOutcome::Failed,
            problems: vec!["listening: expected true, found false".to_owned()],
        }],
        report: format!("kvm/report-{file}-0"),
    }
}

/// A run with one image type that passes in one format and fails in another.
pub(super) fn sample() -> (Merged, Past, BTreeMap<String, BootFiles>) {
    let file = |name: &str, format: &str| FileRecord {
        name: name.to_owned(),
        format: format.to_owned(),
        bytes: 5 << 20,
    };
    let record = Record {
        kind: "kvm".to_owned(),
        steps: vec![
            step(StepKind::Build, "build", StepOutcome::Passed, None),
            step(StepKind::Verify, "verify kvm.qcow2", StepOutcome::Flaky, None),
            step(
                StepKind::Boot,
                "boot kvm.img",
                StepOutcome::Passed,
                Some(boot("kvm.img", Class::LoginPrompt)),
            ),
            step(
                StepKind::Boot,
                "boot kvm.qcow2",
                StepOutcome::Failed,
                Some(boot("kvm.qcow2", Class::KernelPanic)),
            ),
        ],
        files: vec![file("kvm.qcow2", "qcow2"), file("kvm.img", "raw")],
        packages: BTreeMap::from([
            ("linux".to_owned(), "6.2".to_owned()),
            ("new".to_owned(), "1".to_owned()),
        ]),
    };
    let results = Results {
        version: RESULTS_VERSION,
        run: TestRun {
            id: "nightly-2".to_owned(),
            started: "2026-01-02T03:04:05Z".to_owned(),
            seconds: 100.0,
            revision: Some("0123456789abcdef".to_owned()),
            shard: None,
            planned: vec!["aws".to_owned(), "kvm".to_owned()],
            whole: Vec::new(),
            ister: "0".to_owned(),
        },
        types: vec![record],
    };
    let mut past = Past::default();
    past.green.insert(
        "kvm".to_owned(),
        Green {
            run: "nightly-1".to_owned(),
            started: "2026-01-01T03:04:05Z".to_owned(),
            revision: Some("fedcba9876543210".to_owned()),
            ister: "0".to_owned(),
            packages: BTreeMap::from([("linux".to_owned(), "6.1".to_owned())]),
        },
    );
    let before = |outcome, seconds| PastStep {
        run: "nightly".to_owned(),
        started: "2026-01-01T03:04:05Z".to_owned(),
        outcome,
        what: "login-prompt".to_owned(),
        seconds,
    };
    past.steps.insert(
        ("kvm".to_owned(), "boot kvm.img".to_owned()),
        vec![before(StepOutcome::Flaky, 40.0), before(StepOutcome::Passed, 20.0)],
    );
    let size = |bytes| PastSize { started: "2026-01-01T03:04:05Z".to_owned(), bytes };
    past.sizes.insert(("kvm".to_owned(), "kvm.img".to_owned()), vec![size(4 << 20), size(5 << 20)]);
    let serial = vec!["Booting".to_owned(), "Kernel panic <now> & \u{1b}".to_owned(), "end".to_owned()];
    let files = BTreeMap::from([(
        "kvm/report-kvm.qcow2-0".to_owned(),
        BootFiles { serial, left_out: 0, has_screen: true, has_boot_paths: true },
    )]);
    (merge(&[results]).remove(0), past, files)
}

fn made() -> BTreeMap<String, String> {
    let (run, past, files) = sample();
    let kvm = ContentsFiles { has_plan: true, has_packages: false, has_sbom: true };
    let contents = BTreeMap::from([("kvm".to_owned(), kvm)]);
    let site = Site { run: &run, past: &past, files: &files, contents: &contents };
    pages(&site).into_iter().map(|page| (page.path, page.text)).collect()
}

#[test]
fn overview_has_problems_missing_results_and_changes() {
    let pages = made();
    let front = &pages["index.html"];
    for text in [
        "Image types: 0 of 2 passed",
        "No result for planned types: aws.",
        "kernel-panic</b> at stage kernel",
        "look at <code>cmdline</code>",
        "Kernel panic &lt;now&gt; &amp; ",
        "linux: 6.1 → 6.2",
        "new: none → 1",
        "git log fedcba987654..0123456789ab",
        "1 of 2 runs",
        "href=\"kvm/report-kvm.qcow2-0/index.html\"",
        "5 MiB",
    ] {
        assert!(front.contains(text), "`{text}` is missing in:\n{front}");
    }
    // One row per format, with the type only once.
    assert!(front.contains("<th scope=\"rowgroup\" rowspan=\"2\">kvm "), "{front}");
    for (file, is_linked) in [("plan.svg", true), ("packages.txt", false), ("spdx.json", true)] {
        assert_eq!(front.contains(&format!("href=\"kvm/{file}\"")), is_linked, "{file}: {front}");
    }
    assert!(front.find("<td class=\"format\">qcow2</td>") < front.find("<td class=\"format\">raw</td>"));
}

#[test]
fn boot_page_highlights_deciding_lines() {
    let pages = made();
    let page = &pages["kvm/report-kvm.qcow2-0/index.html"];
    for text in [
        "<span id=\"line-2\" class=\"line\"><mark>Kernel panic &lt;now&gt; &amp; \u{fffd}</mark></span>",
        "href=\"#line-2\"",
        "src=\"screen.png\"",
        "port tcp:80</th>",
        "PUT /latest/api/token",
        "listening: expected true, found false",
        "href=\"../../style.css\"",
        "href=\"../../index.html\"",
    ] {
        assert!(page.contains(text), "`{text}` is missing in:\n{page}");
    }
    assert!(pages["kvm/report-kvm.img-0/index.html"].contains("No output."));
}
