//! Checks in the guest: the web server passes all of them, and each fails if what it checks is broken.

use super::updates::VISITOR;
use super::{Outcome, World, expect, ister};
use serde_json::Value;

/// A command that breaks something, and the checks that must fail then.
const BROKEN: &[(&str, &[&str])] = &[
    ("systemctl disable nginx", &["service nginx"]),
    (
        "systemctl stop nginx",
        &[
            "service nginx",
            "port tcp:80",
            "http http://localhost/",
            "http http://localhost/nothing",
            "script",
        ],
    ),
    ("echo Bye >/var/www/html/index.html", &["file /var/www/html/index.html", "http http://localhost/"]),
    (
        "chmod 600 /var/www/html/index.html",
        &["file /var/www/html/index.html", "http http://localhost/", "script"],
    ),
    ("rm /etc/nginx/sites-enabled/default", &["file /etc/nginx/sites-enabled/default"]),
    ("usermod -s /bin/sh www-data", &["user www-data"]),
    // nginx looks the group up.
    ("sed -i /^www-data/d /etc/group", &["group www-data", "command nginx -t"]),
    ("sysctl -q -w net.ipv4.ip_forward=1", &["kernel-param net.ipv4.ip_forward"]),
    ("echo nonsense >>/etc/nginx/nginx.conf", &["command nginx -t"]),
    ("mount -o remount,ro /", &["mount /"]),
    ("dpkg --force-all --remove nginx", &["package nginx"]),
];

pub fn web_server(world: &World) -> Outcome {
    let out = world.path("web-server");
    let junit = out.join("junit.xml");
    let results =
        ister(&["test", "web-server", "--format", "json"], &[("-o", &out), ("--junit", &junit)], 0)?;
    let steps = results["types"][0]["steps"].as_array().ok_or("no steps")?;
    let checks = steps.last().and_then(|step| step["boot"]["checks"].as_array()).ok_or("no checks")?;
    let passed = checks.iter().filter(|check| check["outcome"] == "passed").count();
    expect(passed == 13 && checks.len() == 13, &format!("{checks:#?}"))?;
    let xml = std::fs::read_to_string(&junit).map_err(|e| e.to_string())?;
    expect(xml.contains("web.qcow2 (uefi, virtio-blk, ssh, checks): http http://localhost/\""), &xml)?;
    let report = out.join("web-server/report-web.qcow2-0/results-0-logs.sh.tar");
    expect(report.is_file(), "the results of the script were not saved")?;

    let visitor = world.path("visitor");
    std::fs::write(&visitor, VISITOR).map_err(|e| e.to_string())?;
    let credential = format!("tmpfiles.extra=file:{}", visitor.display());
    let image = out.join("web-server/web.qcow2");
    let image = image.to_str().ok_or("the path is not text")?;
    let plain = ["boot", image, "--format", "json", "--login", "visitor", "--credential", &credential];
    let checks =
        ["--checks", "vm-tests/web-server/checks.yaml", "--test", "vm-tests/web-server/tests/logs.sh"];
    for (command, wanted) in BROKEN {
        let verdict = ister(&[&plain[..], &checks, &["--run", command]].concat(), &[], 1)?;
        expect(verdict["class"] == "check-failed", &format!("{command}: {verdict:#}"))?;
        let failed: Vec<&str> = verdict["checks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|check| check["outcome"] == "failed")
            .filter_map(|check| check["check"].as_str())
            .collect();
        eprintln!("{command}: {failed:?}");
        let is_wanted = |name: &&str| wanted.iter().any(|start| name.starts_with(start));
        let all = wanted.iter().all(|start| failed.iter().any(|name| name.starts_with(start)));
        expect(all && failed.iter().all(is_wanted), &format!("{command}: {}", Value::from(failed)))?;
    }
    std::fs::remove_dir_all(&out).map_err(|e| e.to_string().into())
}
