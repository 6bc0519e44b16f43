//! `stubs`: writes the stubs in labs/ as their solutions make them.

use std::fs;
use std::path::Path;

use grader::exit::{Exit, Problem};
use grader::grade::{known_lab, unwritable};
use grader::suites::SUITES;
use grader::{house, stub};

/// Writes the stubs of all labs, or of one; or only checks that they are what they would be written as.
pub fn stubs(check: bool, lab: Option<&str>) -> Result<Exit, Problem> {
    let only = lab.map(known_lab).transpose()?;
    let mut any = false;
    for suite in SUITES.iter().filter(|suite| only.is_none_or(|only| only.lab == suite.lab)) {
        let directory = house::labs().join(suite.lab);
        let stale = stub::stale(suite)?;
        any |= !stale.wrong.is_empty() || !stale.surplus.is_empty();
        for (path, text) in &stale.wrong {
            println!("{} labs/{}/{path}", if check { "stale" } else { "wrote" }, suite.lab);
            if !check {
                write(&directory.join(path), text)?;
            }
        }
        for path in &stale.surplus {
            println!("{} labs/{}/{path}", if check { "surplus" } else { "removed" }, suite.lab);
            if !check {
                let path = directory.join(path);
                fs::remove_file(&path).map_err(|error| unwritable(&path, &error))?;
            }
        }
    }
    if check && any {
        eprintln!("next: cargo xtask stubs");
        return Ok(Exit::Findings);
    }
    Ok(Exit::Passed)
}

fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let above = path.parent().unwrap_or(path);
    fs::create_dir_all(above).and_then(|()| fs::write(path, text)).map_err(|error| unwritable(path, &error))
}
