//! Copies of data directories: put back later, or started as a second node with the same keys.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Cluster, Node, free_ports};

impl Node {
    /// Copies the data directory of a stopped node; gives where the copy stands.
    ///
    /// # Panics
    /// When it runs, or cannot be copied.
    pub fn copy_data(&mut self, name: &str) -> PathBuf {
        assert!(!self.up(), "{} runs", self.name);
        let copy = self.home.join(name);
        copy_folder(&self.data(), &copy);
        copy
    }

    /// Puts a copy of the data directory in the place of a stopped node's, or one part of it, e.g. `consensus`, as a
    /// restored backup does.
    ///
    /// # Panics
    /// When it runs, or cannot be restored.
    pub fn restore_data(&mut self, copy: &Path, part: Option<&str>) {
        assert!(!self.up(), "{} runs", self.name);
        let inside = |folder: &Path| part.map_or(folder.to_owned(), |part| folder.join(part));
        let (from, to) = (inside(copy), inside(&self.data()));
        std::fs::remove_dir_all(&to).expect("what is to be replaced");
        copy_folder(&from, &to);
    }
}

impl Cluster {
    /// A second node for a validator of a development network, in a folder beside the first: its keys, a copy of its
    /// data directory, other ports. Not started, and none of [`Cluster::nodes`].
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn second_node(&self, of: usize, copy: &Path) -> Node {
        let first = &self.nodes[of];
        let home = first.home.with_file_name(format!("{}-again", first.name));
        std::fs::create_dir(&home).expect("a folder for the node");
        let api = free_ports();
        let text = std::fs::read_to_string(&first.config).expect("a configuration");
        let mut config: toml::Table = toml::from_str(&text).expect("a configuration");
        config.insert("data_dir".to_owned(), toml::Value::from(text_of(copy)));
        let section = |config: &mut toml::Table, name: &str, key: &str, value: String| {
            let table = config.get_mut(name).and_then(toml::Value::as_table_mut);
            table.expect("a section").insert(key.to_owned(), toml::Value::from(value));
        };
        section(&mut config, "p2p", "listen", format!("/ip4/127.0.0.1/tcp/{}", api + 1));
        section(&mut config, "api", "listen", format!("127.0.0.1:{api}"));
        for entry in std::fs::read_dir(&first.home).expect("a node's folder").flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with("vault") {
                std::fs::copy(entry.path(), home.join(name)).expect("a vault's key");
            }
        }
        let path = home.join("node.toml");
        std::fs::write(&path, toml::to_string(&config).expect("a configuration")).expect("a configuration");
        Node::new(first.name.clone(), home, path, api, api + 1)
    }
}

fn copy_folder(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "copying {}", from.display());
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}
