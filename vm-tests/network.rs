//! All combinations of Static_IP's keys. Addresses, routes, name servers and the host name in the guest must match the
//! plan.

use super::updates::VISITOR;
use super::{Outcome, World, expect, ister};
use serde_json::json;

pub fn static_addresses(world: &World) -> Outcome {
    let visitor = world.path("visitor");
    std::fs::write(&visitor, VISITOR).map_err(|e| e.to_string())?;
    let credential = format!("tmpfiles.extra=file:{}", visitor.display());
    let directory = world.path("network");
    for bits in 0..8u8 {
        let is = |bit: u8| bits & 1 << bit != 0;
        let mut network = json!({ "address": "192.0.2.10/24", "gateway": "192.0.2.1" });
        if is(0) {
            network["iface"] = "en*".into();
        }
        if is(1) {
            network["dns"] = "192.0.2.53, 2001:db8::53".into();
        }
        if is(2) {
            network["address6"] = "2001:db8::10/64".into();
            network["gateway6"] = "fe80::1".into();
        }
        let set = format!("Static_IP={network}");
        let build = ["build", "-q", "vm-tests/kvm/template.json", "--set", &set];
        ister(&build, &[("-o", &directory)], 0)?;
        let boot =
            ["boot", "--format", "json", "--login", "visitor", "--credential", &credential, "--healthy"];
        let verdict = ister(&boot, &[("--", &directory.join("kvm.img"))], 0)?;
        eprintln!("{network}: {} s", verdict["seconds"]);
        expect(verdict["class"] == "login-prompt", &format!("{network}: {verdict:#}"))?;
        let answers = verdict["answers"].to_string();
        expect(
            answers.contains("192.0.2.10/24"),
            &format!("{network}: the address was not checked: {answers}"),
        )?;
    }
    std::fs::remove_dir_all(&directory).map_err(|e| e.to_string())?;
    Ok(())
}
