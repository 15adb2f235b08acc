//! MAT-files by hand, element by element.

use super::*;

/// An element, filled up to eight bytes.
fn element(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut all = [&kind.to_le_bytes()[..], &(bytes.len() as u32).to_le_bytes(), bytes].concat();
    all.resize(all.len().next_multiple_of(8), 0);
    all
}

/// A small element: four bytes at most.
fn small(kind: u16, bytes: &[u8]) -> Vec<u8> {
    let mut all = [&kind.to_le_bytes()[..], &(bytes.len() as u16).to_le_bytes(), bytes].concat();
    all.resize(8, 0);
    all
}

fn words(numbers: &[i32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

/// An array: class and flags, dimensions, name, what follows.
fn array(flags: i32, dims: &[i32], name: &str, rest: &[u8]) -> Vec<u8> {
    let head = [element(6, &words(&[flags, 0])), element(5, &words(dims))].concat();
    element(14, &[head, element(1, name.as_bytes()), rest.to_vec()].concat())
}

fn file(elements: &[u8]) -> Vec<u8> {
    let mut header = b"MATLAB 5.0 MAT-file".to_vec();
    header.resize(124, b' ');
    [&header, &b"\x00\x01IM"[..], elements].concat()
}

fn compressed(elements: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(elements).expect("memory takes all");
    let packed = encoder.finish().expect("memory takes all");
    [&15_u32.to_le_bytes()[..], &(packed.len() as u32).to_le_bytes(), &packed].concat()
}

/// `expected` is the debug text of the values, or `code: message`.
fn check(bytes: &[u8], expected: &str) {
    let found = match decode(bytes) {
        Ok(all) => all.iter().map(|v| format!("{} {:?}", v.name, v.value)).collect::<Vec<_>>(),
        Err(e) => vec![format!("{}: {}", e.code, e.message)],
    };
    assert_eq!(found.join("; "), expected);
}

#[test]
fn numbers_keep_their_indices() {
    let doubles: Vec<u8> = [1.0_f64, 2.0, 3.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    let row = array(6, &[1, 3], "row", &element(9, &doubles));
    // Stored as bytes though of class double: columns 1 2, 3 4, 5 6.
    let matrix = array(6, &[2, 3], "m", &element(2, &[1, 2, 3, 4, 5, 6]));
    let truth = array(9 | 1 << 9, &[2, 2], "t", &small(2, &[1, 0, 0, 7]));
    let expected = "row Numbers(NpyArray { shape: [1, 3], data: F64([1.0, 2.0, 3.0]) }); \
                    m Numbers(NpyArray { shape: [2, 3], data: U8([1, 3, 5, 2, 4, 6]) }); \
                    t Numbers(NpyArray { shape: [2, 2], data: Bool([true, false, false, true]) })";
    let all = [row, matrix, truth];
    check(&file(&all.concat()), expected);
    check(&file(&all.map(|one| compressed(&one)).concat()), expected);
}

#[test]
fn texts() {
    let utf16: Vec<u8> = "né".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let line = array(4, &[1, 2], "a", &small(17, &utf16));
    // Rows "ab", "c " column by column.
    let rows = array(4, &[2, 2], "b", &element(16, b"acb "));
    check(&file(&[line, rows].concat()), "a Text(\"né\"); b Text(\"ab\\nc\")");
    let wrong = array(4, &[2, 3], "b", &element(16, b"acb "));
    check(
        &file(&wrong),
        "bad_length: variable `b`: byte 192: a text of shape [2, 3] has 6 letters, there are 4",
    );
}

#[test]
fn structs_and_cells() {
    let number = |n: u8| array(9, &[1, 1], "", &small(2, &[n]));
    let names = [small(5, &4_i32.to_le_bytes()), element(1, b"K\0\0\0quat")].concat();
    let all = [names, number(1), number(2), number(3), array(4, &[1, 1], "", &small(1, b"x"))];
    let bytes = file(&array(2, &[1, 2], "camera", &all.concat()));
    let camera = decode_variable(&bytes, "camera").expect("a struct");
    assert_eq!(camera.field("K").and_then(MatValue::number), Some(1.0));
    let MatValue::Struct(both) = &camera else { panic!("a struct: {camera:?}") };
    assert_eq!((both.len(), both.fields.join(" ").as_str()), (2, "K quat"));
    assert_eq!(both.field(1, "quat").and_then(MatValue::text), Some("x"));
    assert_eq!((both.field(2, "K"), both.field(0, "R")), (None, None));

    let cells = [number(1), number(2), number(3), element(14, b"")].concat();
    let cells = decode_variable(&file(&array(1, &[2, 2], "c", &cells)), "c").expect("cells");
    let MatValue::Cell { shape, values } = cells else { panic!("cells: {cells:?}") };
    let numbers: Vec<_> = values.iter().map(MatValue::number).collect();
    assert_eq!((shape, numbers), (vec![2, 2], vec![Some(1.0), Some(3.0), Some(2.0), None]));
}

#[test]
fn big_endian_files() {
    let mut bytes = file(b"");
    bytes[124..128].copy_from_slice(b"\x01\x00MI");
    let word = |word: u32| word.to_be_bytes();
    let tag = |kind: u32, len: u32| [word(kind), word(len)].concat();
    let inside = [
        [tag(6, 8), word(6).to_vec(), word(0).to_vec()].concat(),
        [tag(5, 8), word(1).to_vec(), word(1).to_vec()].concat(),
        [word(1 << 16 | 1).to_vec(), b"x\0\0\0".to_vec()].concat(),
        [word(2 << 16 | 3).to_vec(), b"\xff\xfe\0\0".to_vec()].concat(),
    ]
    .concat();
    bytes.extend([tag(14, inside.len() as u32), inside].concat());
    check(&bytes, "x Numbers(NpyArray { shape: [1, 1], data: I16([-2]) })");
}

#[test]
fn grids() {
    let bytes = file(&array(9, &[1, 2, 2, 2], "input", &element(2, &[0, 9, 0, 0, 0, 0, 4, 0])));
    let value = decode_variable(&bytes, "input").expect("an array");
    let grid = grid_from_mat(&value, 5.0).expect("a cube");
    assert!(grid.get(1, 0, 0) && grid.occupied() == 1);
    assert!(grid_from_mat(&value, 1.0).expect("a cube").get(0, 1, 1));
    assert_eq!(only_grid(&bytes, 5.0), Ok(grid));
    assert_eq!(
        grid_from_mat(&MatValue::Text(String::new()), 0.5).expect_err("a text").code,
        "bad_shape"
    );
}

#[test]
fn refusals() {
    check(b"", "empty: the file holds no bytes");
    check(b"MATLAB", "truncated: the file ends inside its header");
    check(
        b"MATLAB 7.3 MAT-file, Platform: GLNXA64",
        "unsupported: the file is of MATLAB 7.3, which is HDF5: save it again with -v7",
    );
    check(
        &[0; 200],
        "unsupported: the file is a MAT-file of level 4, or none: save it again with -v7",
    );
    let one = |flags: i32| file(&array(flags, &[1, 1], "x", &small(2, &[1])));
    check(&one(5), "unsupported: variable `x`: byte 184: sparse arrays are not read");
    check(&one(6 | 1 << 11), "unsupported: variable `x`: byte 184: complex numbers are not read");
    check(&one(17), "unsupported: variable `x`: byte 184: objects are not read");
    check(
        &one(99),
        "bad_element: variable `x`: byte 184: there is no class of arrays with the number 99",
    );
    check(&one(6)[..190], "truncated: byte 190: the file ends inside an element");
    check(
        &file(&array(6, &[2, 2], "x", &small(2, &[1]))),
        "bad_length: variable `x`: byte 188: an array of shape [2, 2] has 4 numbers, there are 1",
    );
    check(
        &file(&array(1, &[i32::MAX, i32::MAX], "x", &[])),
        "truncated: variable `x`: byte 184: 4611686014132420609 arrays do not fit in what is left",
    );
    check(
        &file(&array(6, &[-1, 1], "x", &[])),
        "bad_element: byte 160: the dimensions of an array are no counts",
    );
    let unknown = decode_variable(&one(6), "y").expect_err("no such variable");
    assert_eq!(unknown.message, "there is no variable `y`, there are: x");
}

#[test]
fn others_do_not_stop_the_one_that_is_wanted() {
    let sparse = array(5, &[1, 1], "s", &small(2, &[1]));
    let bytes = file(&[sparse, array(6, &[1, 1], "x", &small(2, &[3]))].concat());
    assert_eq!(decode_variable(&bytes, "x").map(|x| x.number()), Ok(Some(3.0)));
    assert_eq!(decode_variable(&bytes, "y").expect_err("no y").code, "unsupported");
}

#[test]
fn depth_is_bounded() {
    let mut inner = array(6, &[1, 1], "", &small(2, &[1]));
    for _ in 0..60 {
        inner = array(1, &[1, 1], "", &inner);
    }
    let bytes = file(&array(1, &[1, 1], "x", &inner));
    assert_eq!(decode(&bytes).expect_err("too deep").code, "too_deep");
}
