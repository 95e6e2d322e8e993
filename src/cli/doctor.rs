//! `ister doctor`

use super::console::{print, terminal_width};
use super::run::{Outcome, VerbosityArgs};
use crate::boot;
use crate::host::{
    CATALOG, Failure, Invocation, Need, Presence, Progress, Tool, check, free_subordinate_range,
    install_packages, run as run_tool, subordinate_ranges, try_namespaces,
};
use crate::report::Table;
use clap::Args;

/// Check that the host has what ister needs, and optionally install it
///
/// Packages are installed with apt-get, through sudo unless run as root.
///
/// Example: ister doctor --install
#[derive(Args, Debug)]
pub(super) struct DoctorArgs {
    /// Install missing packages and set up subordinate IDs
    #[arg(long)]
    install: bool,

    /// Also check the requirements of ister's own tests
    #[arg(long)]
    tests: bool,

    /// Also check the requirements for dnf content
    #[arg(long)]
    dnf: bool,

    /// Also check the requirements of the nightly tests
    #[arg(long)]
    nightly: bool,

    #[command(flatten)]
    verbosity: VerbosityArgs,
}

pub(super) fn run(args: &DoctorArgs) -> anyhow::Result<Outcome> {
    let console = args.verbosity.console();
    let root = rustix::process::geteuid().is_root();
    if args.install {
        let progress: &dyn Progress = &console;
        let packages = missing_packages(args);
        if !packages.is_empty() {
            install_packages(&packages, root, progress)?;
        }
        if let Some(user) = user_without_ids(root) {
            progress.begin(format!("adding subordinate IDs for user `{user}`"));
            let range = free_subordinate_range();
            let options = ["--add-subuids", &range, "--add-subgids", &range];
            run_tool(&Invocation::new("sudo").arg("usermod").args(options).arg(&user))?;
        }
        console.finish();
    }
    let missing = missing_packages(args);
    let lacks_ids = user_without_ids(root).is_some();
    // Namespaces cannot be tested without the ids and the programs that create them.
    let namespaces = if lacks_ids || !missing.is_empty() { None } else { Some(try_namespaces()) };
    print(&table(root, args, namespaces.as_ref().map(Result::is_ok)));
    if missing.is_empty() && !lacks_ids {
        // Installing packages would not help.
        return namespaces.unwrap_or(Ok(())).map(|()| Outcome::Fine).map_err(Into::into);
    }
    let failure = Failure::new("this host does not meet all requirements");
    Err(if args.install {
        failure.help("install what the table above lists as MISSING or OLD manually")
    } else {
        failure.help("run `ister doctor --install`")
    }
    .into())
}

fn missing_packages(args: &DoctorArgs) -> Vec<&'static str> {
    let mut packages: Vec<_> = needed(args)
        .filter(|tool| !matches!(check(tool), Presence::There(_)))
        .map(|tool| tool.package)
        .collect();
    packages.sort();
    packages.dedup();
    packages
}

fn needed(args: &DoctorArgs) -> impl Iterator<Item = &'static Tool> {
    CATALOG.iter().filter(|tool| match tool.need {
        Need::Tests => args.tests,
        Need::Dnf => args.dnf,
        Need::Nightly => args.nightly,
        _ => true,
    })
}

/// The current user, if not root and without a range of subordinate IDs.
fn user_without_ids(root: bool) -> Option<String> {
    if root {
        return None;
    }
    let uid = rustix::process::geteuid().as_raw();
    let name = run_tool(&Invocation::new("id").arg("-un")).ok()?;
    let name = String::from_utf8_lossy(&name.stdout).trim().to_owned();
    let has = |file: &str| {
        subordinate_ranges(&std::fs::read_to_string(file).unwrap_or_default(), &name, uid) >= 65_536
    };
    (!has("/etc/subuid") || !has("/etc/subgid")).then_some(name)
}

fn table(root: bool, args: &DoctorArgs, namespaces: Option<bool>) -> String {
    let mut table = Table::new(&["", "tool", "package", "for"], &[]);
    for tool in needed(args) {
        let (sign, note) = match check(tool) {
            Presence::There(version) => ("ok", version.map(|v| format!(" {v}")).unwrap_or_default()),
            Presence::TooOld(version) => {
                ("OLD", format!(" {version}, needs {}", tool.least.map_or("", |(_, least)| least)))
            }
            Presence::Missing => ("MISSING", String::new()),
        };
        let stage = match tool.need {
            Need::Build => "build",
            Need::BuildBios => "build for BIOS",
            Need::BuildIso => "build ISO images",
            Need::Boot => "boot",
            Need::Verify => "verify",
            Need::Dnf => "build with dnf",
            Need::Tests => "tests",
            Need::Nightly => "nightly tests",
        };
        table.row([
            sign.to_owned(),
            format!("{}{note}", tool.name),
            tool.package.to_owned(),
            format!("{stage}: {}", tool.purpose),
        ]);
    }
    if !root {
        let sign = if user_without_ids(root).is_some() { "MISSING" } else { "ok" };
        table.row([
            sign.to_owned(),
            "/etc/subuid, /etc/subgid".to_owned(),
            "-".to_owned(),
            "build: 65536 subordinate IDs for this user".to_owned(),
        ]);
    }
    let boot::Choice { accelerator, reason, remedy } = boot::choose();
    table.row([
        if accelerator == boot::Accelerator::Kvm { "ok" } else { "slow" }.to_owned(),
        format!("accelerator {accelerator}"),
        "-".to_owned(),
        match remedy {
            None => format!("boot: {reason}"),
            Some(remedy) => format!("boot: {reason}; for KVM, {remedy}"),
        },
    ]);
    if let Some(allowed) = namespaces {
        table.row([
            if allowed { "ok" } else { "DENIED" }.to_owned(),
            "namespaces".to_owned(),
            "-".to_owned(),
            "build: isolated mounts, processes and host name".to_owned(),
        ]);
    }
    table.render_within(terminal_width())
}
