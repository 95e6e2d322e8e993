//! Creates users by editing the account files of the tree, so that no program of the target has to run on this host.

use crate::content::Tree;
use crate::host::Failure;
use crate::plan::{Password, UserPlan};
use crate::template::Secret;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// First uid of regular users in Debian and Clear Linux. Source: adduser.conf(5), FIRST_UID; login.defs(5), UID_MIN.
const FIRST_ID: u32 = 1000;

/// Creates or changes each user: group, home directory from /etc/skel, SSH key, password. `hashes` contains the
/// crypt(3) hashes by user name.
pub fn create_users(
    tree: &Tree,
    users: &[UserPlan],
    hashes: &BTreeMap<String, Secret>,
) -> Result<(), Failure> {
    if users.is_empty() {
        return Ok(());
    }
    let mut files = AccountFiles::read(tree)?;
    // Uids set in the template are not assigned to other users.
    let reserved: BTreeSet<u32> = users.iter().filter_map(|user| user.uid).collect();
    check_uids(users, &files.passwd)?;
    let mut without_password = String::new();
    for user in users {
        let hash = match user.password {
            Password::Locked => "!",
            Password::Empty => "",
            Password::Hash => hashes.get(&user.name).map_or("!", Secret::expose),
        };
        files.put(tree, user, hash, &reserved)?;
        if user.sudo && user.password != Password::Hash {
            // The user has no password that sudo could ask for.
            let _ = writeln!(without_password, "{} ALL=(ALL:ALL) NOPASSWD: ALL", user.name);
        }
    }
    // Users with sudo do not need a root password.
    if users.iter().any(|user| user.sudo)
        && let Some(root) = files.shadow.find_mut("root")
    {
        root[1] = "!".to_owned();
    }
    if !without_password.is_empty() && tree.exists("/etc/sudoers") {
        let text = format!("# Written by ister: users without a password.\n{without_password}");
        tree.write("/etc/sudoers.d/50-ister", &text, 0o440)?;
    }
    files.write(tree)
}

/// The account files of a tree. Source: passwd(5), shadow(5), group(5), gshadow(5).
struct AccountFiles {
    passwd: Accounts,
    shadow: Accounts,
    group: Accounts,
    gshadow: Accounts,
}

fn number(fields: &[String], index: usize) -> Option<u32> {
    fields.get(index).and_then(|field| field.parse().ok())
}

impl AccountFiles {
    fn read(tree: &Tree) -> Result<AccountFiles, Failure> {
        let read = |path: &str| -> Result<Accounts, Failure> {
            Ok(Accounts::parse(&tree.read(path)?.unwrap_or_default()))
        };
        Ok(AccountFiles {
            passwd: read("/etc/passwd")?,
            shadow: read("/etc/shadow")?,
            group: read("/etc/group")?,
            gshadow: read("/etc/gshadow")?,
        })
    }

    fn write(&self, tree: &Tree) -> Result<(), Failure> {
        for (path, accounts, mode) in [
            ("/etc/passwd", &self.passwd, 0o644),
            ("/etc/group", &self.group, 0o644),
            ("/etc/shadow", &self.shadow, 0o640),
            ("/etc/gshadow", &self.gshadow, 0o640),
        ] {
            if tree.exists(path) {
                tree.edit(path, |_| accounts.text())?;
            } else {
                tree.write(path, &accounts.text(), mode)?;
            }
        }
        Ok(())
    }

    /// Adds or changes one user and its home directory.
    fn put(
        &mut self,
        tree: &Tree,
        user: &UserPlan,
        hash: &str,
        reserved: &BTreeSet<u32>,
    ) -> Result<(), Failure> {
        let existing = self.passwd.find(&user.name).map(|fields| fields.to_vec());
        let uid = user.uid.or_else(|| number(existing.as_deref()?, 2)).unwrap_or_else(|| {
            let taken =
                |id: &u32| self.passwd.has_id(2, *id) || self.group.has_id(2, *id) || reserved.contains(id);
            (FIRST_ID..).find(|id| !taken(id)).unwrap_or(FIRST_ID)
        });
        let gid = match existing.as_deref().and_then(|fields| number(fields, 3)) {
            Some(gid) => gid,
            None => self.put_group(&user.name, uid)?,
        };
        let field = |index: usize| existing.as_ref().and_then(|fields| fields.get(index)).cloned();
        let home = field(5).unwrap_or_else(|| format!("/home/{}", user.name));
        let shell = field(6).unwrap_or_else(|| {
            if tree.exists("/bin/bash") { "/bin/bash".to_owned() } else { "/bin/sh".to_owned() }
        });
        let gecos = user.full_name.clone().or_else(|| field(4)).unwrap_or_default().replace([':', '\n'], " ");
        self.passwd.put(
            &user.name,
            [user.name.as_str(), "x", &uid.to_string(), &gid.to_string(), &gecos, &home, &shell],
        );
        self.shadow.put(&user.name, [user.name.as_str(), hash, "", "0", "99999", "7", "", "", ""]);
        if user.sudo {
            self.join_administrators(tree, &user.name)?;
        }
        if existing.is_none() {
            give_subordinate_ids(tree, &user.name)?;
        }
        // The home directory of an existing system user may be missing on purpose.
        if existing.is_none() || user.ssh_key.is_some() || tree.is_directory(&home) {
            make_home(tree, user, &home, uid, gid)?;
        }
        // Change only files owned by the old uid, like usermod(8).
        let was = existing.as_deref().and_then(|fields| number(fields, 2));
        if let Some(before) = was.filter(|before| *before != uid && tree.is_directory(&home)) {
            tree.own_from(&home, before, uid, gid)?;
        }
        Ok(())
    }

    /// Adds a group for the user and returns its gid, which is the uid if that is free.
    fn put_group(&mut self, name: &str, uid: u32) -> Result<u32, Failure> {
        // A group of the package contents may have privileges and other members.
        if let Some(gid) = self.group.find(name).and_then(|fields| number(fields, 2)) {
            return Err(group_exists(name, gid));
        }
        let taken = self.group.0.iter().any(|fields| number(fields, 2) == Some(uid));
        let gid = if taken { self.group.free_id(2) } else { uid };
        self.group.put(name, [name, "x", &gid.to_string(), ""]);
        self.gshadow.put(name, [name, "!", "", ""]);
        Ok(gid)
    }

    fn join_administrators(&mut self, tree: &Tree, user: &str) -> Result<(), Failure> {
        let administrators = match sudo_group(tree, &self.group)? {
            Some(name) => name,
            None => {
                let there = ["wheel", "sudo"].into_iter().find(|name| self.group.find(name).is_some());
                there.unwrap_or("wheel").to_owned()
            }
        };
        let administrators = administrators.as_str();
        if self.group.find(administrators).is_none() {
            let gid = (100..FIRST_ID).rev().find(|id| !self.group.has_id(2, *id)).unwrap_or(999);
            self.group.put(administrators, [administrators, "x", &gid.to_string(), ""]);
            self.gshadow.put(administrators, [administrators, "!", "", ""]);
        }
        self.group.join(administrators, user);
        self.gshadow.join(administrators, user);
        Ok(())
    }
}

fn group_exists(name: &str, gid: u32) -> Failure {
    Failure::new(format!(
        "user `{name}` conflicts with the group `{name}` (gid {gid}) of the package contents"
    ))
    .detail(
        "the user would get the privileges of the group, and members of the group access to the user's files",
    )
    .help("choose another `username` in Users")
    .of_template()
}

/// Assigns subordinate IDs like useradd(8) if the tree contains the files. Rootless containers need them.
/// Source: login.defs(5), SUB_UID_MIN and SUB_UID_COUNT.
fn give_subordinate_ids(tree: &Tree, name: &str) -> Result<(), Failure> {
    const FIRST: u64 = 100_000;
    const COUNT: u64 = 65_536;
    for path in ["/etc/subuid", "/etc/subgid"] {
        let Some(text) = tree.read(path)? else { continue };
        let ranges = Accounts::parse(&text);
        if ranges.find(name).is_some() {
            continue;
        }
        let number = |fields: &[String], index: usize| fields.get(index).and_then(|f| f.parse::<u64>().ok());
        let ends = ranges.0.iter().filter_map(|fields| number(fields, 1)?.checked_add(number(fields, 2)?));
        let start = ends.max().unwrap_or(FIRST).max(FIRST);
        tree.edit(path, |text| format!("{text}{name}:{start}:{COUNT}\n"))?;
    }
    Ok(())
}

/// Returns the group whose members may become root according to the sudoers files. Source: sudoers(5), `%group host =
/// (runas) commands`.
fn sudo_group(tree: &Tree, group: &Accounts) -> Result<Option<String>, Failure> {
    let mut groups: Vec<String> = Vec::new();
    let mut files = vec!["/etc/sudoers".to_owned()];
    // sudo ignores other files, such as backups and leftover files of packages.
    let read = |name: &String| !name.contains('.') && !name.ends_with('~');
    files.extend(
        tree.list("/etc/sudoers.d").iter().filter(|n| read(n)).map(|n| format!("/etc/sudoers.d/{n}")),
    );
    // Clear Linux keeps its default sudoers here.
    files.push("/usr/share/defaults/sudo/sudoers".to_owned());
    for file in files {
        if tree.is_file(&file) {
            groups.extend(tree.read(&file)?.unwrap_or_default().lines().filter_map(parse_sudo_group));
        }
    }
    let known = |name: &&String| ["wheel", "sudo"].contains(&name.as_str());
    let there = |name: &&String| group.find(name).is_some();
    let best = groups.iter().find(|name| known(name) && there(name));
    let best = best.or_else(|| groups.iter().find(known)).or_else(|| groups.iter().find(there));
    Ok(best.or(groups.first()).cloned())
}

/// Parses `%NAME HOSTS = (RUNAS) … ALL`: a group whose members may become root.
fn parse_sudo_group(line: &str) -> Option<String> {
    let (name, rest) = line.trim().strip_prefix('%')?.split_once(char::is_whitespace)?;
    let (_, rest) = rest.split_once('=')?;
    let rest = rest.trim();
    let (as_root, commands) = match rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((users, commands)) => {
            let users = users.split(':').next().unwrap_or_default();
            (users.split(',').any(|user| ["ALL", "root"].contains(&user.trim())), commands)
        }
        None => (true, rest),
    };
    // Tags such as `NOPASSWD:` precede the commands.
    let all = commands.split([',', ':']).any(|command| command.trim() == "ALL");
    (as_root && all).then(|| name.to_owned())
}

/// Rejects uids that another account already has.
fn check_uids(users: &[UserPlan], passwd: &Accounts) -> Result<(), Failure> {
    for user in users {
        let Some(uid) = user.uid else { continue };
        let other = passwd.0.iter().find(|fields| fields.get(2).is_some_and(|id| *id == uid.to_string()));
        if let Some(other) = other.filter(|fields| fields[0] != user.name) {
            return Err(Failure::new(format!(
                "uid {uid} of user `{}` is already used by `{}` in the package contents",
                user.name, other[0]
            ))
            .of_template()
            .help("choose another `uid`, or remove it"));
        }
    }
    Ok(())
}

fn make_home(tree: &Tree, user: &UserPlan, home: &str, uid: u32, gid: u32) -> Result<(), Failure> {
    let fresh = !tree.exists(home);
    tree.make_directory(home)?;
    if fresh {
        copy_directory(tree, "/etc/skel", home)?;
    }
    if let Some(key) = &user.ssh_key {
        let keys = format!("{home}/.ssh/authorized_keys");
        tree.make_directory(&format!("{home}/.ssh"))?;
        tree.set_mode(&format!("{home}/.ssh"), 0o700)?;
        let before = tree.read(&keys)?.unwrap_or_default();
        if !before.lines().any(|line| line == key) {
            tree.write(&keys, &format!("{before}{key}\n"), 0o600)?;
        }
    }
    if fresh {
        tree.set_mode(home, 0o700)?;
        tree.own(home, uid, gid)
    } else if user.ssh_key.is_some() {
        tree.own(&format!("{home}/.ssh"), uid, gid)
    } else {
        Ok(())
    }
}

/// Copies directories and regular files recursively and skips everything else.
fn copy_directory(tree: &Tree, from: &str, to: &str) -> Result<(), Failure> {
    for name in tree.list(from) {
        let (from, to) = (format!("{from}/{name}"), format!("{to}/{name}"));
        if tree.is_directory(&from) {
            tree.make_directory(&to)?;
            copy_directory(tree, &from, &to)?;
        } else if tree.is_file(&from) {
            tree.copy(&from, &to)?;
        }
    }
    Ok(())
}

/// Entries of passwd(5), shadow(5), group(5) or gshadow(5): one per line, with fields separated by colons.
struct Accounts(Vec<Vec<String>>);

impl Accounts {
    fn parse(text: &str) -> Accounts {
        Accounts(
            text.lines()
                .filter(|line| !line.is_empty())
                .map(|line| line.split(':').map(str::to_owned).collect())
                .collect(),
        )
    }

    fn text(&self) -> String {
        self.0.iter().map(|fields| fields.join(":") + "\n").collect()
    }

    fn find(&self, name: &str) -> Option<&[String]> {
        self.0.iter().find(|fields| fields[0] == name).map(Vec::as_slice)
    }

    fn find_mut(&mut self, name: &str) -> Option<&mut Vec<String>> {
        self.0.iter_mut().find(|fields| fields[0] == name)
    }

    fn put<'a>(&mut self, name: &str, fields: impl IntoIterator<Item = &'a str>) {
        let fields: Vec<String> = fields.into_iter().map(str::to_owned).collect();
        match self.find_mut(name) {
            Some(existing) => *existing = fields,
            None => self.0.push(fields),
        }
    }

    /// Adds a member to a group.
    fn join(&mut self, group: &str, member: &str) {
        if let Some(fields) = self.find_mut(group)
            && let Some(members) = fields.get_mut(3)
            && !members.split(',').any(|m| m == member)
        {
            if !members.is_empty() {
                members.push(',');
            }
            members.push_str(member);
        }
    }

    fn has_id(&self, field: usize, id: u32) -> bool {
        self.0.iter().any(|fields| fields.get(field).is_some_and(|f| *f == id.to_string()))
    }

    fn free_id(&self, field: usize) -> u32 {
        (FIRST_ID..).find(|id| !self.has_id(field, *id)).unwrap_or(FIRST_ID)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(directory: &tempfile::TempDir) -> Tree {
        let tree = Tree::open(directory.path()).unwrap();
        tree.write(
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nold:x:999:999::/home/old:/bin/sh\n",
            0o644,
        )
        .unwrap();
        tree.write("/etc/shadow", "root::19000:0:99999:7:::\nold:!:::::::\n", 0o640).unwrap();
        tree.write("/etc/group", "root:x:0:\nsudo:x:27:\nold:x:999:\n", 0o644).unwrap();
        tree.write("/etc/gshadow", "root:*::\nsudo:*::\nold:!::\n", 0o640).unwrap();
        tree.write("/etc/skel/.profile", "hello\n", 0o644).unwrap();
        tree
    }

    fn user(name: &str) -> UserPlan {
        // An unprivileged test can only create files of its own uid.
        let uid = rustix::process::geteuid().as_raw();
        UserPlan {
            name: name.into(),
            uid: (uid != 0).then_some(uid),
            full_name: None,
            sudo: false,
            password: Password::Locked,
            ssh_key: None,
        }
    }

    #[test]
    fn user_gets_group_home_key_and_sudo() {
        let directory = tempfile::tempdir().unwrap();
        let tree = tree(&directory);
        let ada = UserPlan {
            full_name: Some("Ada: L".into()),
            sudo: true,
            password: Password::Hash,
            ssh_key: Some("ssh-ed25519 AAAA ada".into()),
            ..user("ada")
        };
        let hashes = BTreeMap::from([("ada".to_owned(), Secret::new("$6$x$y".to_owned()))]);
        if rustix::process::geteuid().is_root() {
            create_users(&tree, &[ada], &hashes).unwrap();
            let passwd = tree.read("/etc/passwd").unwrap().unwrap();
            assert!(passwd.ends_with("ada:x:1000:1000:Ada  L:/home/ada:/bin/sh\n"), "{passwd}");
            let group = tree.read("/etc/group").unwrap().unwrap();
            assert!(group.contains("sudo:x:27:ada\n") && group.contains("ada:x:1000:\n"), "{group}");
            let shadow = tree.read("/etc/shadow").unwrap().unwrap();
            assert!(shadow.contains("ada:$6$x$y::0:99999:7:::\n"), "{shadow}");
            assert!(shadow.starts_with("root:!:"), "sudo locks root's password: {shadow}");
            use std::os::unix::fs::MetadataExt;
            let keys = directory.path().join("home/ada/.ssh/authorized_keys").metadata().unwrap();
            assert_eq!((keys.uid(), keys.gid(), keys.mode() & 0o777), (1000, 1000, 0o600));
            assert_eq!(tree.read("/home/ada/.profile").unwrap().as_deref(), Some("hello\n"));
        }
    }

    #[test]
    fn sudo_groups_are_found() {
        for (line, group) in [
            ("%sudo\tALL=(ALL:ALL) ALL", Some("sudo")),
            ("%wheel ALL=(ALL) NOPASSWD: ALL", Some("wheel")),
            ("%admin ALL = ALL", Some("admin")),
            ("%ops ALL=(postgres) ALL", None),
            ("%web ALL=(root) /usr/bin/systemctl", None),
            ("# %wheel ALL=(ALL) ALL", None),
        ] {
            assert_eq!(parse_sudo_group(line).as_deref(), group, "{line}");
        }
        let directory = tempfile::tempdir().unwrap();
        let tree = tree(&directory);
        let text = "%admin ALL=(ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n";
        tree.write("/etc/sudoers", text, 0o440).unwrap();
        tree.make_directory("/etc/sudoers.d/directory").unwrap();
        let group = Accounts::parse(&tree.read("/etc/group").unwrap().unwrap());
        assert_eq!(sudo_group(&tree, &group).unwrap().as_deref(), Some("sudo"));
    }

    #[test]
    fn uids_are_unique() {
        let directory = tempfile::tempdir().unwrap();
        let tree = tree(&directory);
        let with = |uid: u32| UserPlan { uid: Some(uid), ..user("bob") };
        let failure = create_users(&tree, &[with(999)], &BTreeMap::new()).unwrap_err();
        assert_eq!(failure.message, "uid 999 of user `bob` is already used by `old` in the package contents");
    }

    #[test]
    fn an_existing_user_is_changed() {
        let directory = tempfile::tempdir().unwrap();
        let tree = tree(&directory);
        tree.make_directory("/home/old").unwrap();
        let old = UserPlan {
            uid: None,
            full_name: Some("Old One".into()),
            password: Password::Empty,
            ..user("old")
        };
        create_users(&tree, &[old], &BTreeMap::new()).unwrap();
        let passwd = tree.read("/etc/passwd").unwrap().unwrap();
        assert!(passwd.ends_with("old:x:999:999:Old One:/home/old:/bin/sh\n"), "{passwd}");
        assert!(tree.read("/etc/shadow").unwrap().unwrap().contains("old:::0:99999:7:::\n"));
    }

    #[test]
    fn existing_groups_are_not_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let tree = tree(&directory);
        let failure = create_users(&tree, &[user("sudo")], &BTreeMap::new()).unwrap_err();
        assert_eq!(
            failure.message,
            "user `sudo` conflicts with the group `sudo` (gid 27) of the package contents"
        );
        assert_eq!(failure.blame, crate::host::Blame::Template);
        // An existing user keeps its group.
        create_users(&tree, &[user("old")], &BTreeMap::new()).unwrap();
    }

    #[test]
    fn subordinate_ids_are_assigned_if_the_files_exist() {
        let directory = tempfile::tempdir().unwrap();
        let tree = tree(&directory);
        tree.write("/etc/subuid", "old:100000:65536\n", 0o644).unwrap();
        create_users(&tree, &[user("ada")], &BTreeMap::new()).unwrap();
        assert_eq!(tree.read("/etc/subuid").unwrap().unwrap(), "old:100000:65536\nada:165536:65536\n");
        assert_eq!(tree.read("/etc/subgid").unwrap(), None);
    }
}
