//! A data set appears whole or not at all.

use std::fs;
use std::path::Path;

use voxflow_contract::MachineFault;

use super::{make, names_in, replace_folder, rows, sink};

/// Makes the folder `dataset` with one file of this name.
fn fill_with(folder: &Path, name: &str) -> Result<(), MachineFault> {
    replace_folder(&folder.join("dataset"), |partial| touch(partial, name))
}

fn touch(folder: &Path, name: &str) -> Result<(), MachineFault> {
    fs::create_dir_all(folder).expect("a folder");
    fs::write(folder.join(name), name).map_err(|e| MachineFault::io("write", folder, e))
}

#[test]
fn an_older_data_set_is_replaced_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    make(&sink(1, 1), folder.path(), &rows(20), 9).expect("made");
    make(&sink(100, 32), folder.path(), &rows(2), 9).expect("made");
    assert_eq!(names_in(&folder.path().join("dataset")), ["test", "train"]);
    assert_eq!(names_in(&folder.path().join("dataset/train")), ["part-00000.parquet"]);
    assert_eq!(names_in(folder.path()), ["dataset"]);
}

#[test]
fn a_failure_leaves_what_was_there() {
    let folder = tempfile::tempdir().expect("a folder");
    make(&sink(4, 2), folder.path(), &rows(6), 9).expect("made");
    let train = folder.path().join("dataset/train");
    let before = names_in(&train);

    let backwards = rows(9).gather(&[8, 7, 6, 5, 4, 3, 2, 1, 0]);
    let error = make(&sink(4, 2), folder.path(), &backwards, 9).expect_err("not in key order");
    assert!(error.message.contains("not in key order"), "{error}");
    let full_disk = || MachineFault::new("the disk is full");
    let error = replace_folder(&folder.path().join("dataset"), |partial| {
        touch(&partial.join("train"), "half")?;
        Err::<(), _>(full_disk())
    });
    assert_eq!(error.expect_err("a full disk").message, full_disk().message);

    assert_eq!(names_in(&train), before);
    assert_eq!(names_in(folder.path()), ["dataset"]);
}

#[test]
fn an_older_data_set_stands_while_the_new_one_is_filled() {
    let folder = tempfile::tempdir().expect("a folder");
    fill_with(folder.path(), "kept").expect("filled");
    let dataset = folder.path().join("dataset");
    let said = replace_folder(&dataset, |partial| {
        assert_eq!(names_in(partial), [""; 0]);
        let linked = fs::hard_link(dataset.join("kept"), partial.join("linked"));
        linked.map_err(|e| MachineFault::io("link", partial, e))?;
        Ok(3)
    });
    assert_eq!(said.expect("filled"), 3);
    assert_eq!(names_in(&dataset), ["linked"]);
    assert_eq!(fs::read(dataset.join("linked")).expect("a file"), b"kept");
}

#[test]
fn what_a_killed_process_left_is_cleared() {
    let folder = tempfile::tempdir().expect("a folder");
    fill_with(folder.path(), "older").expect("filled");
    for left in ["dataset.partial", "dataset.old"] {
        touch(&folder.path().join(left), "left").expect("a file");
    }
    fill_with(folder.path(), "newer").expect("filled");
    assert_eq!(names_in(folder.path()), ["dataset"]);
    assert_eq!(names_in(&folder.path().join("dataset")), ["newer"]);
}

#[test]
fn what_a_killed_process_moved_aside_is_moved_back() {
    let folder = tempfile::tempdir().expect("a folder");
    touch(&folder.path().join("dataset.old"), "older").expect("a file");
    let failed = replace_folder(&folder.path().join("dataset"), |_| {
        Err::<(), _>(MachineFault::new("the disk is full"))
    });
    failed.expect_err("a full disk");
    assert_eq!(names_in(folder.path()), ["dataset"]);
    assert_eq!(names_in(&folder.path().join("dataset")), ["older"]);
}
