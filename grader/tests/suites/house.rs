//! A lab and its solution agree: their manifests, and the stub with what the solution makes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use grader::check::Suite;
use libtest_mimic::Failed;
use serde::Deserialize;

use crate::chain::verdict;

#[derive(Deserialize)]
struct Manifest {
    package: Package,
    #[serde(default)]
    bin: Vec<Binary>,
    #[serde(default)]
    dependencies: BTreeMap<String, toml::Value>,
    #[serde(default, rename = "dev-dependencies")]
    dev_dependencies: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
}

#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Binary {
    name: String,
    path: String,
}

fn read(directory: &Path, lab: &str) -> Result<Manifest, Failed> {
    let path = directory.join(lab).join("Cargo.toml");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
}

/// Both manifests build the suite's programs from the same paths with the same dependencies; the solution's binaries
/// carry a suffix, so that no build of the workspace mistakes one for the other.
pub fn manifests(suite: &'static Suite) -> Result<(), Failed> {
    let lab = read(&grader::house::labs(), suite.lab)?;
    let solution = read(&grader::house::solutions(), suite.lab)?;
    let mut wrong = Vec::new();
    if lab.package.name != suite.lab || solution.package.name != format!("{}-solution", suite.lab) {
        wrong.push(format!("packages are called {} and {}", lab.package.name, solution.package.name));
    }
    let names: BTreeSet<&str> = lab.bin.iter().map(|binary| binary.name.as_str()).collect();
    if names != suite.programs.iter().copied().collect() {
        wrong.push(format!(
            "labs/{}/Cargo.toml builds {names:?}, the suite wants {:?}",
            suite.lab, suite.programs
        ));
    }
    let with_suffix: BTreeSet<(String, &str)> =
        lab.bin.iter().map(|binary| (format!("{}-solution", binary.name), binary.path.as_str())).collect();
    let of_solution: BTreeSet<(String, &str)> =
        solution.bin.iter().map(|binary| (binary.name.clone(), binary.path.as_str())).collect();
    if with_suffix != of_solution {
        wrong.push(format!("programs differ: {with_suffix:?} and {of_solution:?}"));
    }
    if lab.dependencies != solution.dependencies {
        wrong.push("dependencies differ".to_string());
    }
    if lab.dev_dependencies != solution.dev_dependencies {
        wrong.push("dev-dependencies differ".to_string());
    }
    verdict(&wrong)
}

/// The stub is what the solution makes.
pub fn stub_is_fresh(suite: &'static Suite) -> Result<(), Failed> {
    let stale = grader::stub::stale(suite)?;
    let wrong: Vec<String> = stale
        .wrong
        .keys()
        .chain(&stale.surplus)
        .map(|path| format!("labs/{}/{path} is not what its solution makes: cargo xtask stubs", suite.lab))
        .collect();
    verdict(&wrong)
}
