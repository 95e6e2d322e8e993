//! Units that systemd starts at every boot: whether they exist, and their ordering.

use crate::disk::Body;
use crate::finding::Level;
use crate::verify::rule::{Check, Findings, Rule};
use crate::verify::system::System;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Unit directories, in order of precedence. Source: systemd.unit(5), "System Unit Search Path".
pub(super) const UNITS: &[&str] = &[
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];

/// State of a unit file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unit {
    There,
    Masked,
    Missing,
}

/// The template of an instance: `getty@.service` for `getty@tty1.service`.
fn template_of(name: &str) -> Option<String> {
    let (template, rest) = name.split_once('@')?;
    let (instance, ending) = rest.rsplit_once('.')?;
    (!instance.is_empty()).then(|| format!("{template}@.{ending}"))
}

pub(super) fn unit(system: &System, name: &str) -> Unit {
    for directory in UNITS {
        let path = format!("{directory}/{name}");
        let Some(id) = system.tree.find_nofollow(&path) else { continue };
        return match &system.tree.nodes[id].body {
            Body::Link(target) if target == b"/dev/null" => Unit::Masked,
            // systemd follows links to other units by name.
            Body::Link(target) if system.tree.find(&path).is_none() => {
                let target = String::from_utf8_lossy(target).into_owned();
                let name = target.rsplit('/').next().unwrap_or_default();
                let there = UNITS.iter().any(|directory| system.exists(&format!("{directory}/{name}")));
                if there { Unit::There } else { Unit::Missing }
            }
            Body::File(_) if system.tree.nodes[id].size == 0 => Unit::Masked,
            _ => Unit::There,
        };
    }
    template_of(name).map_or(Unit::Missing, |template| unit(system, &template))
}

pub(super) static DANGLING_UNIT: Rule = Rule {
    name: "unit-missing",
    summary: "an enabled unit does not exist",
    level: Level::Warning,
    why: "systemd ignores the missing unit. Source: systemd.unit(5), Wants=.",
    check: Check::System(dangling),
};

fn dangling(system: &System, out: &mut Findings) {
    const OWN: &str = UNITS[0];
    for directory in
        system.list(OWN).into_iter().filter(|name| name.ends_with(".wants") || name.ends_with(".requires"))
    {
        for name in system.list(&format!("{OWN}/{directory}")) {
            let path = format!("{OWN}/{directory}/{name}");
            if system.tree.find(&path).is_none() && unit(system, &name) == Unit::Missing {
                let added = out.report(format!("{name} is enabled but does not exist")).path(path);
                if directory.ends_with(".requires") {
                    added.level(Level::Error);
                }
            }
        }
    }
}

pub(super) static UNIT_CYCLE: Rule = Rule {
    name: "unit-cycle",
    summary: "units that start at boot have an ordering cycle",
    level: Level::Warning,
    why: "systemd breaks the cycle by not starting one of the units, which can be any of them: \"Found \
          ordering cycle on …\". Sources: systemd.unit(5), Before=, After=; systemd.service(5), \
          systemd.target(5), \"Default Dependencies\".",
    check: Check::System(cycles),
};

/// The dependencies in a unit file.
#[derive(Debug, Default)]
struct Dependencies {
    pulls: BTreeSet<String>,
    /// Those of `pulls` without which the unit is not started.
    requires: BTreeSet<String>,
    after: BTreeSet<String>,
    before: BTreeSet<String>,
    has_defaults: bool,
}

/// Resolves an alias: the name of the unit, and the text of its file.
fn file_of(system: &System, name: &str) -> Option<(String, String)> {
    for directory in UNITS {
        let path = format!("{directory}/{name}");
        let Some(id) = system.tree.find_nofollow(&path) else { continue };
        if let Body::Link(target) = &system.tree.nodes[id].body {
            let target = String::from_utf8_lossy(target).into_owned();
            let file = target.rsplit('/').next().unwrap_or_default();
            // A link to a file of the same name or to a template is not an alias.
            if target == "/dev/null" {
                return None;
            }
            if file != name && template_of(name).as_deref() != Some(file) {
                return file_of_plain(system, file).map(|text| (file.to_owned(), text));
            }
        }
        return file_of_plain(system, name).map(|text| (name.to_owned(), text));
    }
    let template = template_of(name)?;
    file_of_plain(system, &template).map(|text| (name.to_owned(), text))
}

fn file_of_plain(system: &System, name: &str) -> Option<String> {
    UNITS.iter().find_map(|directory| system.text(&format!("{directory}/{name}"))).or_else(|| {
        template_of(name).and_then(|template| {
            UNITS.iter().find_map(|directory| system.text(&format!("{directory}/{template}")))
        })
    })
}

impl Dependencies {
    /// Source: systemd.syntax(7): an empty value resets the list.
    fn read(&mut self, text: &str) {
        let mut in_unit = false;
        for line in text.replace("\\\n", " ").lines().map(str::trim) {
            if line.starts_with('[') {
                in_unit = line == "[Unit]";
            }
            let Some((key, value)) = line.split_once('=').filter(|_| in_unit) else { continue };
            let names = || value.split_whitespace().filter(|name| !name.contains('%')).map(str::to_owned);
            if let "Requires" | "BindsTo" = key.trim_end() {
                self.requires.extend(names());
            }
            let list = match key.trim_end() {
                "Wants" | "Requires" | "BindsTo" | "Upholds" => &mut self.pulls,
                "After" => &mut self.after,
                "Before" => &mut self.before,
                "DefaultDependencies" => {
                    self.has_defaults = !["no", "false", "0", "off"].contains(&value.trim());
                    continue;
                }
                _ => continue,
            };
            match value.trim() {
                // Several keys fill the same list, so a reset is ignored. Entries may remain that systemd drops;
                // findings are only warnings.
                "" => {}
                // Specifiers are expanded for each instance, so such names are skipped.
                _ => list.extend(names()),
            }
        }
    }

    fn of(system: &System, name: &str, text: &str) -> Dependencies {
        let mut found = Dependencies { has_defaults: true, ..Dependencies::default() };
        found.read(text);
        let names = std::iter::once(name.to_owned()).chain(template_of(name));
        for (name, directory) in
            names.flat_map(|name| UNITS.iter().rev().map(move |unit| (name.clone(), unit)))
        {
            for file in system.list(&format!("{directory}/{name}.d")) {
                found.read(&system.text(&format!("{directory}/{name}.d/{file}")).unwrap_or_default());
            }
            for ending in ["wants", "requires", "upholds"] {
                let listed = system.list(&format!("{directory}/{name}.{ending}"));
                if ending == "requires" {
                    found.requires.extend(listed.iter().cloned());
                }
                found.pulls.extend(listed);
            }
        }
        if found.has_defaults {
            found.add_defaults(name);
        }
        found
    }

    /// Source: "Default Dependencies" of systemd.service(5), systemd.socket(5), systemd.timer(5), systemd.path(5).
    fn add_defaults(&mut self, name: &str) {
        let (after, before): (&[&str], &[&str]) = match name.rsplit('.').next() {
            Some("service") => (&["sysinit.target", "basic.target"], &[]),
            Some("socket") => (&["sysinit.target"], &["sockets.target"]),
            Some("timer") => (&["sysinit.target"], &["timers.target"]),
            Some("path") => (&["sysinit.target"], &["paths.target"]),
            _ => return,
        };
        self.pulls.insert("sysinit.target".to_owned());
        self.after.extend(after.iter().map(|name| (*name).to_owned()));
        self.before.extend(before.iter().map(|name| (*name).to_owned()));
    }
}

/// The first unit that `name` requires, directly or through others, and that does not exist or is masked; with the unit
/// that requires it.
pub(super) fn missing_requirement(system: &System, name: &str) -> Option<(String, String)> {
    let mut seen = BTreeSet::from([name.to_owned()]);
    let mut queue = VecDeque::from([name.to_owned()]);
    while let Some(name) = queue.pop_front() {
        let Some((real, text)) = file_of(system, &name) else { continue };
        for required in Dependencies::of(system, &real, &text).requires {
            // Other units are also created by generators and while the system runs.
            let is_file = required.ends_with(".target");
            if is_file && unit(system, &required) != Unit::There {
                return Some((real, required));
            }
            if seen.insert(required.clone()) {
                queue.push_back(required);
            }
        }
    }
    None
}

/// All units that the default target pulls in, with aliases resolved.
fn transaction(system: &System) -> BTreeMap<String, Dependencies> {
    let mut units: BTreeMap<String, Dependencies> = BTreeMap::new();
    let mut aliases: BTreeMap<String, String> = BTreeMap::new();
    let mut wanted =
        vec!["default.target".to_owned(), "basic.target".to_owned(), "sysinit.target".to_owned()];
    while let Some(name) = wanted.pop() {
        if aliases.contains_key(&name) {
            continue;
        }
        let Some((real, text)) = file_of(system, &name) else { continue };
        aliases.insert(name, real.clone());
        aliases.entry(real.clone()).or_insert_with(|| real.clone());
        if let Entry::Vacant(place) = units.entry(real) {
            let dependencies = Dependencies::of(system, place.key(), &text);
            wanted.extend(dependencies.pulls.iter().cloned());
            place.insert(dependencies);
        }
    }
    let real = |names: &BTreeSet<String>| -> BTreeSet<String> {
        names.iter().filter_map(|name| aliases.get(name).cloned()).collect()
    };
    for dependencies in units.values_mut() {
        dependencies.pulls = real(&dependencies.pulls);
        dependencies.after = real(&dependencies.after);
        dependencies.before = real(&dependencies.before);
    }
    units
}

/// For each unit, the units that it starts after.
fn order(units: &BTreeMap<String, Dependencies>) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut order: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, dependencies) in units {
        order.entry(name).or_default().extend(dependencies.after.iter().map(String::as_str));
        for later in &dependencies.before {
            order.entry(later).or_default().insert(name);
        }
    }
    // A target starts after the units that it pulls in, unless their order is explicit. Source: systemd.target(5),
    // "Default Dependencies".
    for (name, target) in units.iter().filter(|(name, unit)| name.ends_with(".target") && unit.has_defaults) {
        for pulled in &target.pulls {
            let of_pulled = &units[pulled];
            let is_ordered = target.before.contains(pulled) || of_pulled.after.contains(name);
            if of_pulled.has_defaults && !is_ordered {
                order.entry(name).or_default().insert(pulled);
            }
        }
    }
    order
}

/// The shortest path from a unit back to itself.
fn cycle<'a>(order: &BTreeMap<&'a str, BTreeSet<&'a str>>, start: &'a str) -> Option<Vec<&'a str>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(name) = queue.pop_front() {
        for earlier in order.get(name).into_iter().flatten() {
            if *earlier == start {
                let mut way = vec![name];
                while let Some(before) = way.last().and_then(|last| came_from.get(last)) {
                    way.push(before);
                }
                way.reverse();
                return Some(way);
            }
            if !came_from.contains_key(earlier) {
                came_from.insert(earlier, name);
                queue.push_back(earlier);
            }
        }
    }
    None
}

fn cycles(system: &System, out: &mut Findings) {
    if !system.exists("/usr/lib/systemd/systemd") {
        return;
    }
    let units = transaction(system);
    let order = order(&units);
    let mut reported: BTreeSet<&str> = BTreeSet::new();
    for name in units.keys().map(String::as_str) {
        let Some(way) = cycle(&order, name).filter(|way| !way.iter().any(|name| reported.contains(name)))
        else {
            continue;
        };
        reported.extend(&way);
        out.report(format!("ordering cycle: {} → {} (each starts after the next)", way.join(" → "), way[0]));
    }
}
