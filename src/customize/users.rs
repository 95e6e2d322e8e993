//! Users, written straight into the tree's account files: the target's own tools need not run on this host.

use crate::content::Tree;
use crate::plan::{Password, UserPlan};
use crate::tool::Failure;
use std::collections::BTreeMap;

/// Where Debian and Clear begin to number people. Source: adduser.conf(5), FIRST_UID; login.defs(5), UID_MIN.
const FIRST_ID: u32 = 1000;

/// Creates each user, or changes the one that is there: own group, home from /etc/skel, key, password. `hashes`
/// has the crypt(3) hash of each user whose password is one.
pub fn create_users(
    tree: &Tree,
    users: &[UserPlan],
    hashes: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    if users.is_empty() {
        return Ok(());
    }
    let read = |path: &str| -> Result<Accounts, Failure> {
        Ok(Accounts::parse(&tree.read(path)?.unwrap_or_default()))
    };
    let mut passwd = read("/etc/passwd")?;
    let mut shadow = read("/etc/shadow")?;
    let mut group = read("/etc/group")?;
    let mut gshadow = read("/etc/gshadow")?;

    for user in users {
        let existing = passwd.find(&user.name).map(|fields| fields.to_vec());
        let number = |fields: &[String], index: usize| fields.get(index).and_then(|f| f.parse::<u32>().ok());
        let uid = user
            .uid
            .or_else(|| number(existing.as_deref()?, 2))
            .unwrap_or_else(|| passwd.free_id(2).max(group.free_id(2)));
        let gid = match existing.as_deref().and_then(|fields| number(fields, 3)) {
            Some(gid) => gid,
            None => match group.find(&user.name).and_then(|fields| number(fields, 2)) {
                Some(gid) => gid,
                None => {
                    let taken = group.0.iter().any(|fields| number(fields, 2) == Some(uid));
                    let gid = if taken { group.free_id(2) } else { uid };
                    group.put(&user.name, [user.name.as_str(), "x", &gid.to_string(), ""]);
                    gshadow.put(&user.name, [user.name.as_str(), "!", "", ""]);
                    gid
                }
            },
        };
        let field = |index: usize| existing.as_ref().and_then(|fields| fields.get(index)).cloned();
        let home = field(5).unwrap_or_else(|| format!("/home/{}", user.name));
        let shell = field(6).unwrap_or_else(|| {
            if tree.exists("/bin/bash") { "/bin/bash".to_owned() } else { "/bin/sh".to_owned() }
        });
        let gecos = user.full_name.clone().or_else(|| field(4)).unwrap_or_default().replace([':', '\n'], " ");
        passwd.put(
            &user.name,
            [user.name.as_str(), "x", &uid.to_string(), &gid.to_string(), &gecos, &home, &shell],
        );
        let hash = match user.password {
            Password::Locked => "!",
            Password::Empty => "",
            Password::Hash => hashes.get(&user.name).map_or("!", String::as_str),
        };
        shadow.put(&user.name, [user.name.as_str(), hash, "", "0", "99999", "7", "", "", ""]);
        if user.sudo {
            let administrators = ["wheel", "sudo"].into_iter().find(|name| group.find(name).is_some());
            let administrators = administrators.unwrap_or("wheel");
            if group.find(administrators).is_none() {
                let gid = (100..FIRST_ID).rev().find(|id| !group.has_id(2, *id)).unwrap_or(999);
                group.put(administrators, [administrators, "x", &gid.to_string(), ""]);
                gshadow.put(administrators, [administrators, "!", "", ""]);
            }
            group.join(administrators, &user.name);
            gshadow.join(administrators, &user.name);
            // Whoever may become root does not need root's password.
            if let Some(root) = shadow.find_mut("root") {
                root[1] = "!".to_owned();
            }
        }
        make_home(tree, user, &home, uid, gid)?;
    }
    for (path, accounts, mode) in [
        ("/etc/passwd", &passwd, 0o644),
        ("/etc/group", &group, 0o644),
        ("/etc/shadow", &shadow, 0o640),
        ("/etc/gshadow", &gshadow, 0o640),
    ] {
        if tree.exists(path) {
            tree.edit(path, |_| accounts.text())?;
        } else {
            tree.write(path, &accounts.text(), mode)?;
        }
    }
    Ok(())
}

fn make_home(tree: &Tree, user: &UserPlan, home: &str, uid: u32, gid: u32) -> Result<(), Failure> {
    let fresh = !tree.exists(home);
    tree.make_folder(home)?;
    if fresh {
        copy_folder(tree, "/etc/skel", home)?;
    }
    if let Some(key) = &user.ssh_key {
        let keys = format!("{home}/.ssh/authorized_keys");
        tree.make_folder(&format!("{home}/.ssh"))?;
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

/// Folders and files; anything else in /etc/skel is nobody's.
fn copy_folder(tree: &Tree, from: &str, to: &str) -> Result<(), Failure> {
    for name in tree.list(from) {
        let (from, to) = (format!("{from}/{name}"), format!("{to}/{name}"));
        if tree.is_folder(&from) {
            tree.make_folder(&to)?;
            copy_folder(tree, &from, &to)?;
        } else if tree.exists(&from) {
            tree.copy(&from, &to)?;
        }
    }
    Ok(())
}

/// passwd(5), shadow(5), group(5) or gshadow(5): a line each, fields between colons.
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

    fn tree(folder: &tempfile::TempDir) -> Tree {
        let tree = Tree::open(folder.path()).unwrap();
        tree.write(
            "/etc/passwd",
            "root:x:0:0:root:/root:/bin/bash\nold:x:1000:1000::/home/old:/bin/sh\n",
            0o644,
        )
        .unwrap();
        tree.write("/etc/shadow", "root::19000:0:99999:7:::\nold:!:::::::\n", 0o640).unwrap();
        tree.write("/etc/group", "root:x:0:\nsudo:x:27:\nold:x:1000:\n", 0o644).unwrap();
        tree.write("/etc/gshadow", "root:*::\nsudo:*::\nold:!::\n", 0o640).unwrap();
        tree.write("/etc/skel/.profile", "hello\n", 0o644).unwrap();
        tree
    }

    fn user(name: &str) -> UserPlan {
        // The tests' own ids: an ordinary user may give files only to itself.
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
    fn a_user_gets_group_home_key_and_rights() {
        let folder = tempfile::tempdir().unwrap();
        let tree = tree(&folder);
        let ada = UserPlan {
            full_name: Some("Ada: L".into()),
            sudo: true,
            password: Password::Hash,
            ssh_key: Some("ssh-ed25519 AAAA ada".into()),
            ..user("ada")
        };
        let hashes = BTreeMap::from([("ada".to_owned(), "$6$x$y".to_owned())]);
        if rustix::process::geteuid().is_root() {
            create_users(&tree, &[ada], &hashes).unwrap();
            let passwd = tree.read("/etc/passwd").unwrap().unwrap();
            assert!(passwd.ends_with("ada:x:1001:1001:Ada  L:/home/ada:/bin/sh\n"), "{passwd}");
            let group = tree.read("/etc/group").unwrap().unwrap();
            assert!(group.contains("sudo:x:27:ada\n") && group.contains("ada:x:1001:\n"), "{group}");
            let shadow = tree.read("/etc/shadow").unwrap().unwrap();
            assert!(shadow.contains("ada:$6$x$y::0:99999:7:::\n"), "{shadow}");
            assert!(shadow.starts_with("root:!:"), "sudo locks root's password: {shadow}");
            use std::os::unix::fs::MetadataExt;
            let keys = folder.path().join("home/ada/.ssh/authorized_keys").metadata().unwrap();
            assert_eq!((keys.uid(), keys.gid(), keys.mode() & 0o777), (1001, 1001, 0o600));
            assert_eq!(tree.read("/home/ada/.profile").unwrap().as_deref(), Some("hello\n"));
        }
    }

    #[test]
    fn an_existing_user_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let tree = tree(&folder);
        tree.make_folder("/home/old").unwrap();
        let old = UserPlan {
            uid: None,
            full_name: Some("Old One".into()),
            password: Password::Empty,
            ..user("old")
        };
        create_users(&tree, &[old], &BTreeMap::new()).unwrap();
        let passwd = tree.read("/etc/passwd").unwrap().unwrap();
        assert!(passwd.ends_with("old:x:1000:1000:Old One:/home/old:/bin/sh\n"), "{passwd}");
        assert!(tree.read("/etc/shadow").unwrap().unwrap().contains("old:::0:99999:7:::\n"));
    }
}
