//! What was set up in another of the places where a daemon looks, and is not read there any more.

use super::load;
use crate::arguments::Global;
use std::path::{Path, PathBuf};

/// A sentence for each place that holds something, and is passed over for those that are named.
pub(crate) fn unread(global: &Global, config_dir: &Path, plugins_dir: &Path, data_dir: &Path) -> Vec<String> {
    let mut places = vec![data_dir.join("config")];
    // Who names a folder may well have several.
    if global.config_dir.is_none() {
        places.extend(load::usual_places());
    }
    let configuration = places.iter().filter(|place| !same(place, config_dir) && holds_configuration(place)).map(|place| {
        format!(
            "the configuration in {} is not read: {} is; hint: move what is still wanted there, or name a folder with --config-dir",
            place.display(),
            config_dir.display()
        )
    });
    let folders: Vec<PathBuf> =
        vec![config_dir.join("plugins"), data_dir.join("config/plugins"), data_dir.join("plugins")];
    let plugins = folders.iter().filter(|folder| !same(folder, plugins_dir) && holds_plugins(folder)).map(|folder| {
        format!(
            "the plugins in {} are not loaded: those in {} are; hint: move what is still wanted there, or set `plugins-dir`",
            folder.display(),
            plugins_dir.display()
        )
    });
    configuration.chain(plugins).collect()
}

pub(crate) fn same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    one == other || real(one) == real(other)
}

fn holds_configuration(folder: &Path) -> bool {
    folder.join("quarterdeck.toml").symlink_metadata().is_ok()
        || quarterdeck_config::sections()
            .any(|section| std::fs::read_dir(folder.join(section)).is_ok_and(|mut entries| entries.next().is_some()))
}

fn holds_plugins(folder: &Path) -> bool {
    let is_plugin = |path: PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
    std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| is_plugin(entry.path())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_up_in_another_known_place_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (data, config) = (folder.path().join("data"), folder.path().join("config"));
        let global = Global { config_dir: Some(config.clone()), ..Global::default() };
        let told = |plugins: &Path| unread(&global, &config, plugins, &data);
        for empty in [data.join("config/rules"), data.join("plugins"), config.clone()] {
            std::fs::create_dir_all(empty).unwrap();
        }
        assert_eq!(told(&data.join("plugins")), [] as [String; 0]);
        std::fs::write(data.join("config/rules/own.toml"), "").unwrap();
        std::fs::write(data.join("plugins/own.wasm"), "").unwrap();
        let said = told(&data.join("plugins"));
        assert!(said.len() == 1 && said[0].contains("data/config is not read"), "{said:?}");
        let said = told(&config.join("plugins"));
        assert!(said.len() == 2 && said[1].contains("data/plugins are not loaded"), "{said:?}");
    }
}
