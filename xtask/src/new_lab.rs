//! `new-lab`: lays out a lab with all that the grader wants of one, so that what is missing is named by the tests.

use std::fs;
use std::path::Path;

use grader::exit::{Exit, Problem};
use grader::grade::unwritable;
use grader::house;

/// Lays out the lab `name` with its programs.
pub fn new_lab(name: &str, programs: &[String]) -> Result<Exit, Problem> {
    lay_out(&house::root(), name, programs)?;
    println!("laid out labs/{name}, solutions/{name} and the lab's suites");
    println!(
        "next: cargo fmt; link it in labs/README.md; write the solution, the handout, the checks, then `cargo xtask stubs`"
    );
    println!("      `cargo test -p grader --test suites -- {name}::` says what is still missing");
    Ok(Exit::Passed)
}

fn lay_out(root: &Path, name: &str, programs: &[String]) -> Result<(), Problem> {
    let good = |word: &str| {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        word.starts_with(|first: char| first.is_ascii_lowercase()) && word.bytes().all(plain)
    };
    if let Some(odd) = programs.iter().map(String::as_str).chain([name]).find(|word| !good(word)) {
        return Err(Problem::usage(format!("{odd:?} is no name for it"), "use small letters, digits and -"));
    }
    if ["labs", "solutions"].iter().any(|place| root.join(place).join(name).exists()) {
        return Err(Problem::usage(format!("there is a lab {name} already"), "take another name"));
    }
    for (path, text) in files(name, programs) {
        write(&root.join(path), &text)?;
    }
    let list = programs.iter().map(|program| format!("{program:?}")).collect::<Vec<_>>().join(", ");
    let module = name.replace('-', "_");
    write(
        &root.join(format!("grader/src/suites/{module}.rs")),
        &format!(
            "//! Core checks of the lab `{name}`.\n\nuse crate::check::Suite;\n\n/// The rubric, in teaching order.\npub const SUITE: Suite = Suite {{ lab: \"{name}\", programs: &[{list}], checks: &[] }};\n"
        ),
    )?;
    write(
        &root.join(format!("grader/src/hidden/{module}.rs")),
        &format!(
            "//! Robust and bonus checks of the lab `{name}`.\n\nuse crate::check::Check;\n\n/// The rubric, in teaching order.\npub const CHECKS: &[Check] = &[];\n"
        ),
    )?;
    let lists = [
        ("grader/src/suites/mod.rs", "mod raw;\n", format!("mod {module};\n")),
        ("grader/src/suites/mod.rs", "    raw::SUITE,\n", format!("    {module}::SUITE,\n")),
        ("grader/src/hidden/mod.rs", "mod raw;\n", format!("mod {module};\n")),
        (
            "grader/src/hidden/mod.rs",
            "        _ => &[],\n",
            format!("        \"{name}\" => {module}::CHECKS,\n"),
        ),
    ];
    for (file, mark, text) in &lists {
        insert_before(root, file, mark, text)?;
    }
    Ok(())
}

/// The lab's own files, by their path below the root.
fn files(name: &str, programs: &[String]) -> Vec<(String, String)> {
    let mut files = vec![
        (format!("labs/{name}/Cargo.toml"), manifest(name, programs, "", "tests/visible.rs")),
        (
            format!("solutions/{name}/Cargo.toml"),
            manifest(name, programs, "-solution", &format!("../../labs/{name}/tests/visible.rs")),
        ),
        (
            format!("labs/{name}/tests/visible.rs"),
            "//! What a student runs: `cargo test -p` and the lab's name.\n".to_string(),
        ),
        (
            format!("solutions/{name}/mutants.toml"),
            "# The reference with one deliberate mistake each: what shows that a check can fail.\n"
                .to_string(),
        ),
        (
            format!("solutions/{name}/variants.toml"),
            "# Correct programs in other styles and languages: what shows that a check is fair.\n"
                .to_string(),
        ),
        (
            format!("labs/{name}/README.md"),
            format!(
                "# {name}\n\n## The contract\n\n| no. | level | requirement |\n|---|---|---|\n| {name}.0 | robust | the conventions for every program |\n"
            ),
        ),
    ];
    for program in programs {
        let solution = "//! What the program does, in a sentence.\n\nfn main() {\n    // solution: todo!(\"say what to do\")\n    // :solution\n}\n";
        files.push((format!("solutions/{name}/src/bin/{program}.rs"), solution.to_string()));
        let stub =
            "//! What the program does, in a sentence.\n\nfn main() {\n    todo!(\"say what to do\")\n}\n";
        files.push((format!("labs/{name}/src/bin/{program}.rs"), stub.to_string()));
    }
    files
}

fn manifest(name: &str, programs: &[String], suffix: &str, tests: &str) -> String {
    let mut text = format!("[package]\nname = \"{name}{suffix}\"\n");
    for key in ["version", "edition", "rust-version", "license", "publish"] {
        text += &format!("{key}.workspace = true\n");
    }
    text += "autobins = false\nautotests = false\n";
    for program in programs {
        text += &format!("\n[[bin]]\nname = \"{program}{suffix}\"\npath = \"src/bin/{program}.rs\"\n");
    }
    text += &format!("\n[[test]]\nname = \"visible\"\npath = \"{tests}\"\n\n[dependencies]\n");
    for library in ["byteorder", "labkit", "nix", "socket2"] {
        text += &format!("{library}.workspace = true\n");
    }
    text += "\n[dev-dependencies]\n";
    for library in ["assert_cmd", "predicates", "rstest"] {
        text += &format!("{library}.workspace = true\n");
    }
    text + "\n[lints]\nworkspace = true\n"
}

fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let above = path.parent().unwrap_or(path);
    fs::create_dir_all(above).and_then(|()| fs::write(path, text)).map_err(|error| unwritable(path, &error))
}

/// Inserts a line before the one that is there in every checkout.
fn insert_before(root: &Path, file: &str, mark: &str, text: &str) -> Result<(), Problem> {
    let path = root.join(file);
    let before = fs::read_to_string(&path).map_err(|error| unwritable(&path, &error))?;
    if !before.contains(mark) {
        return Err(Problem::usage(
            format!("{file} has no line {mark:?}"),
            format!("insert {text:?} by hand"),
        ));
    }
    write(&path, &before.replacen(mark, &format!("{text}{mark}"), 1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;

    const LISTS: [&str; 2] = ["grader/src/suites/mod.rs", "grader/src/hidden/mod.rs"];

    fn files_below(root: &Path) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        let mut directories = vec![root.to_path_buf()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap().flatten() {
                match entry.path().is_dir() {
                    true => directories.push(entry.path()),
                    false => drop(found.insert(entry.path().strip_prefix(root).unwrap().to_path_buf())),
                }
            }
        }
        found
    }

    #[test]
    fn a_lab_is_laid_out_and_nothing_is_touched_but_the_two_lists() {
        let place = tempfile::tempdir().unwrap();
        for list in LISTS {
            let text = fs::read_to_string(house::root().join(list)).unwrap();
            write(&place.path().join(list), &text).unwrap();
        }
        let programs = ["dns-server".to_string(), "dns-client".to_string()];
        lay_out(place.path(), "dns", &programs).unwrap();
        let own = |path: &PathBuf| ["labs/dns", "solutions/dns"].iter().any(|below| path.starts_with(below));
        let others: Vec<PathBuf> = files_below(place.path()).into_iter().filter(|path| !own(path)).collect();
        let [suites, hidden] = LISTS.map(PathBuf::from);
        let suite = PathBuf::from("grader/src/suites/dns.rs");
        assert_eq!(others, [PathBuf::from("grader/src/hidden/dns.rs"), hidden, suite, suites]);
        for list in LISTS {
            let added = fs::read_to_string(place.path().join(list)).unwrap().matches("dns").count();
            assert!((2..=3).contains(&added), "{list}: two lines, and one of them names it twice at most");
        }
        for program in &programs {
            let file = format!("src/bin/{program}.rs");
            let solution = fs::read_to_string(place.path().join("solutions/dns").join(&file)).unwrap();
            let stub = fs::read_to_string(place.path().join("labs/dns").join(&file)).unwrap();
            assert_eq!(grader::stub::project(&solution).unwrap(), stub, "the stub is what `stubs` makes");
        }
        let again = lay_out(place.path(), "dns", &programs).unwrap_err().to_string();
        assert!(again.contains("there is a lab dns already"), "{again}");
    }
}
