//! Every column type through memory and through files: slices, nulls, no rows, damage.

use std::sync::Arc;

use arrow2::bitmap::Bitmap;
use bytes::Bytes;
use proptest::prelude::*;
use voxflow_contract::{
    Batch, Column, ColumnType as T, Image, Random, ScalarType as S, Schema, Values, tables,
};

use super::*;

/// One column of every type, and of every scalar where it matters.
fn column_types() -> Vec<T> {
    let mut all =
        vec![T::Utf8, T::Boolean, T::UInt32, T::UInt64, T::Float32, T::Float64, T::Binary];
    all.extend([T::FixedBinary(32), T::FixedBinary(3), T::Images]);
    for scalar in [S::UInt8, S::UInt32, S::Float32, S::Float64] {
        all.extend([T::List(scalar), T::Tensor(scalar, vec![3]), T::TensorList(scalar, 2)]);
    }
    all.push(T::Tensor(S::UInt8, vec![2, 2, 3]));
    all
}

fn schema_of_everything() -> Schema {
    let types = column_types().into_iter().enumerate();
    let columns = types.flat_map(|(i, column_type)| {
        let required = Column::new(&format!("c{i}"), column_type.clone(), "A doc.").with("k", "v");
        [required, Column::new(&format!("n{i}"), column_type, "May be null.").nullable()]
    });
    let metadata = [("note".to_owned(), "kept".to_owned())].into();
    Schema::with_metadata("everything", 7, columns.collect(), metadata)
}

fn batch_of_everything(rows: usize, seed: u64) -> Batch {
    let schema = schema_of_everything();
    let mut random = Random::new(seed, &["parquet"]);
    let arrays = schema
        .columns()
        .iter()
        .map(|column| {
            let values = values(&column.column_type, rows, &mut random);
            let alone = Schema::new("", 1, vec![Column::new("c", column.column_type.clone(), "")]);
            let array = Batch::new(alone, vec![values]).expect("values").arrays()[0].clone();
            let bits: Bitmap = (0..rows).map(|_| random.chance(0.7)).collect();
            if column.nullable { array.with_validity(Some(bits)) } else { array }
        })
        .collect();
    Batch::from_arrow2(schema, arrays).expect("a batch")
}

fn values(column_type: &T, rows: usize, random: &mut Random) -> Values {
    let mut bytes = |len: usize| (0..len).map(|_| random.below(256) as u8).collect::<Vec<_>>();
    let lens: Vec<usize> = bytes(rows).into_iter().map(|n| usize::from(n % 4)).collect();
    match column_type {
        T::Utf8 => Values::utf8(lens.iter().map(|n| "aé☃𝄞".chars().take(*n).collect::<String>())),
        T::Boolean => Values::boolean(bytes(rows).into_iter().map(|n| n % 2 == 0)),
        T::UInt32 => Values::numbers(bytes(rows).into_iter().map(u32::from).collect()),
        T::UInt64 => Values::numbers(bytes(rows).into_iter().map(u64::from).collect()),
        T::Float32 => Values::numbers(bytes(rows).into_iter().map(f32::from).collect()),
        T::Float64 => Values::numbers(bytes(rows).into_iter().map(f64::from).collect()),
        T::Binary => Values::binary(lens.iter().map(|n| bytes(*n))),
        T::FixedBinary(len) => Values::fixed_binary(*len, (0..rows).map(|_| bytes(*len))),
        T::Images => {
            let image = |n| Image { bytes: bytes(n), path: (n % 2 == 0).then(|| n.to_string()) };
            let mut image = image;
            let row = |n: &usize| (0..*n).map(&mut image).collect();
            Values::images(&lens.iter().map(row).collect::<Vec<_>>())
        }
        T::List(scalar) => lists(*scalar, lens.iter().map(|n| bytes(*n)).collect()),
        T::Tensor(scalar, shape) => {
            let len = shape.iter().product();
            tensors(*scalar, shape, (0..rows).map(|_| bytes(len)).collect())
        }
        T::TensorList(scalar, len) => {
            tensor_lists(*scalar, *len, lens.iter().map(|n| bytes(n * len)).collect())
        }
        other => panic!("a column type without a test: {other}"),
    }
}

fn cast<N: From<u8>>(rows: Vec<Vec<u8>>) -> Vec<Vec<N>> {
    rows.into_iter().map(|row| row.into_iter().map(N::from).collect()).collect()
}

fn lists(scalar: S, rows: Vec<Vec<u8>>) -> Values {
    match scalar {
        S::UInt8 => Values::lists::<u8, _>(rows),
        S::UInt32 => Values::lists::<u32, _>(cast(rows)),
        S::Float32 => Values::lists::<f32, _>(cast(rows)),
        _ => Values::lists::<f64, _>(cast(rows)),
    }
}

fn tensors(scalar: S, shape: &[usize], rows: Vec<Vec<u8>>) -> Values {
    match scalar {
        S::UInt8 => Values::tensors::<u8, _>(shape, rows),
        S::UInt32 => Values::tensors::<u32, _>(shape, cast(rows)),
        S::Float32 => Values::tensors::<f32, _>(shape, cast(rows)),
        _ => Values::tensors::<f64, _>(shape, cast(rows)),
    }
}

fn tensor_lists(scalar: S, len: usize, rows: Vec<Vec<u8>>) -> Values {
    match scalar {
        S::UInt8 => Values::tensor_lists::<u8, _>(len, rows),
        S::UInt32 => Values::tensor_lists::<u32, _>(len, cast(rows)),
        S::Float32 => Values::tensor_lists::<f32, _>(len, cast(rows)),
        _ => Values::tensor_lists::<f64, _>(len, cast(rows)),
    }
}

fn file_of(batches: &[Batch], row_group_rows: usize) -> Bytes {
    let schema = batches[0].schema();
    let mut writer =
        ParquetWriter::new(Vec::new(), schema, WriteOptions { row_group_rows }).expect("a writer");
    batches.iter().for_each(|batch| writer.write(batch).expect("rows"));
    Bytes::from(writer.finish().expect("a footer"))
}

fn assert_equal(found: &Batch, expected: &Batch) {
    assert_eq!(found.schema(), expected.schema());
    for (column, (a, b)) in
        expected.schema().columns().iter().zip(found.arrays().iter().zip(expected.arrays()))
    {
        assert_eq!(a, b, "column {}: {}", column.name, column.column_type);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_column_type_survives_memory(rows in 0usize..70, cut in (0.0..1.0, 0.0..1.0), seed: u64) {
        let whole = batch_of_everything(rows, seed);
        let start = (cut.0 * rows as f64) as usize;
        let len = (cut.1 * (rows - start) as f64) as usize;
        let batch = whole.slice(start, len);
        let there = to_record_batch(&batch).expect("to arrow");
        for column in there.columns() {
            arrow_array::Array::to_data(column).validate_full().expect("valid");
        }
        assert_equal(&from_record_batch(&there).expect("from arrow"), &batch);

        let there = to_record_batch(&whole).expect("to arrow").slice(start, len);
        assert_equal(&from_record_batch(&there).expect("cut by arrow"), &batch);
        let again = from_record_batch(&there).expect("cut by arrow");
        let twice = from_record_batch(&to_record_batch(&again).expect("to arrow"));
        assert_equal(&twice.expect("from arrow"), &batch);
    }

    #[test]
    fn every_column_type_survives_a_file(
        rows in 0usize..70, skip in 0usize..14, group in 1usize..40, seed: u64,
    ) {
        let whole = batch_of_everything(rows + skip, seed);
        let batch = whole.slice(skip, rows);
        let reader = ParquetReader::new(file_of(std::slice::from_ref(&batch), group)).expect("a file");
        assert_eq!(reader.schema(), batch.schema());
        assert_eq!(reader.row_group_rows().iter().sum::<usize>(), rows);
        assert_equal(&reader.read_all().expect("rows"), &batch);
    }

    #[test]
    fn bytes_do_not_depend_on_how_rows_were_cut(
        rows in 1usize..60, cuts in prop::collection::vec(0usize..60, 0..5), group in 1usize..20,
        seed: u64,
    ) {
        let whole = batch_of_everything(rows, seed);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows)).collect();
        cuts.extend([0, rows]);
        cuts.sort_unstable();
        let parts: Vec<_> = cuts.windows(2).map(|w| whole.slice(w[0], w[1] - w[0])).collect();
        prop_assert!(file_of(&[whole], group) == file_of(&parts, group));
    }

    #[test]
    fn a_damaged_file_is_an_error_or_rows_never_a_panic(
        place in 0.0f64..1.0, byte: u8, cut: bool, in_footer: bool,
    ) {
        let mut file = file_of(&[batch_of_everything(9, 5)], 4).to_vec();
        let footer = file.len() - 8 - footer_len(&file);
        let first = if in_footer { footer } else { 0 };
        let place = first + (place * (file.len() - first) as f64) as usize;
        if cut { file.truncate(place) } else { file[place] = byte }
        if let Ok(reader) = ParquetReader::new(Bytes::from(file)) {
            let _ = reader.read_all();
        }
    }
}

fn footer_len(file: &[u8]) -> usize {
    let place = file.len() - 8;
    u32::from_le_bytes(file[place..place + 4].try_into().expect("4 bytes")) as usize
}

#[test]
fn every_table_survives_a_file_without_rows() {
    for table in tables::ALL {
        let batch = Batch::empty((table.schema)());
        let reader = ParquetReader::new(file_of(std::slice::from_ref(&batch), 32)).expect("a file");
        assert_equal(&reader.read_all().expect("rows"), &batch);
        assert!(reader.row_group_rows().is_empty());
    }
}

#[test]
fn values_are_not_copied() {
    let schema = Schema::new("bytes", 1, vec![Column::new("bytes", T::Binary, "Bytes.")]);
    let batch = Batch::new(schema, vec![Values::binary([[7u8; 999]])]).expect("a batch");
    let there = to_record_batch(&batch).expect("to arrow");
    let back = from_record_batch(&there).expect("from arrow");
    let address = |batch: &Batch| batch.binary("bytes").expect("bytes").value(0).as_ptr();
    assert_eq!(address(&batch), address(&back));
    drop((batch, there));
    assert_eq!(back.binary("bytes").expect("bytes").value(0), [7; 999]);
}

#[test]
fn a_file_is_read_by_name_group_and_thread() {
    let batch = batch_of_everything(20, 3);
    let mut file = tempfile::tempfile().expect("a file");
    std::io::Write::write_all(&mut file, &file_of(std::slice::from_ref(&batch), 8))
        .expect("written");
    let reader = ParquetReader::new(file).expect("a file");
    assert_eq!(reader.row_group_rows(), [8, 8, 4]);
    let names = ["n3".to_owned(), "c0".to_owned()];
    let expected = batch.project(&["n3", "c0"]).expect("columns").slice(8, 8);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let found = reader.read_row_group(1, Some(&names)).expect("rows");
                    assert_equal(&found, &expected);
                }
            });
        }
    });
}

#[test]
fn what_is_not_there_is_said() {
    let reader = ParquetReader::new(file_of(&[batch_of_everything(3, 1)], 8)).expect("a file");
    let error = reader.read_row_group(1, None).expect_err("one group");
    assert_eq!(error.message, "there is no row group 1 of 1");
    let error = reader.read_row_group(0, Some(&["x".to_owned()])).expect_err("no column");
    assert_eq!(error.code, "no_column");
    assert!(error.message.starts_with("there is no column `x` (there are: c0, n0, c1,"), "{error}");
}

#[test]
fn foreign_types_are_refused_by_name() {
    use arrow_array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch, StringViewArray};
    let view: ArrayRef = Arc::new(StringViewArray::from(vec!["a"]));
    let dictionary: ArrayRef =
        Arc::new(["a"].into_iter().collect::<DictionaryArray<arrow_array::types::Int32Type>>());
    let signed: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    for (array, named) in [(view, "Utf8View"), (dictionary, "Dictionary"), (signed, "Int64")] {
        let batch = RecordBatch::try_from_iter([("odd", array)]).expect("a batch");
        let error = from_record_batch(&batch).expect_err("refused");
        assert_eq!(error.code, "column_type");
        assert!(error.message.contains("`odd`") && error.message.contains(named), "{error}");
    }
}

#[test]
fn lists_of_other_writers_are_read_when_they_have_no_nulls() {
    use arrow_array::types::Float32Type;
    use arrow_array::{ArrayRef, FixedSizeListArray, ListArray, RecordBatch};
    let list = |rows: Vec<Option<Vec<Option<f32>>>>| -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows))
    };
    let good = RecordBatch::try_from_iter([("l", list(vec![Some(vec![Some(1.0)]), None]))]);
    let good = from_record_batch(&good.expect("a batch")).expect("no nulls inside");
    assert_eq!(good.lists::<f32>("l").expect("lists").value(0), [1.0]);

    let bad = RecordBatch::try_from_iter([("l", list(vec![Some(vec![None])]))]);
    let error = from_record_batch(&bad.expect("a batch")).expect_err("a null inside");
    assert_eq!(error.message, "column `l` has nulls inside its lists");

    let rows = vec![Some(vec![Some(1.0), Some(2.0)]), None];
    let tensor = FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(rows, 2);
    let tensor = RecordBatch::try_from_iter([("t", Arc::new(tensor) as ArrayRef)]);
    let tensor = from_record_batch(&tensor.expect("a batch")).expect("a missing row is no null");
    assert_eq!(tensor.tensors::<f32>("t").expect("tensors").value(0), [1.0, 2.0]);
}

#[test]
fn a_wide_row_group_is_decoded_in_parts() {
    let side = 48;
    let columns = vec![Column::new("grid", T::Tensor(S::UInt8, vec![side, side, side]), "A doc.")];
    let grids = (0..7u8).map(|row| vec![row; side * side * side]).collect();
    let values = tensors(S::UInt8, &[side, side, side], grids);
    let batch = Batch::new(Schema::new("grids", 1, columns), vec![values]).expect("a batch");
    let reader = ParquetReader::new(file_of(std::slice::from_ref(&batch), 7)).expect("a file");
    assert_eq!(reader.row_group_rows(), [7]);
    let bytes = reader.footer.metadata.metadata().row_group(0).total_byte_size();
    assert!(bytes as usize > 2 * super::reader::DECODE_BYTES, "it has {bytes} bytes only");
    assert_eq!(reader.read_row_group(0, None).expect("rows"), batch);
}

#[test]
fn pictures_are_stored_as_they_are_and_text_has_statistics() {
    use parquet::basic::Compression;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let file = SerializedFileReader::new(file_of(&[batch_of_everything(9, 2)], 4)).expect("a file");
    let schema = schema_of_everything();
    for leaf in file.metadata().row_group(0).columns() {
        let column = schema.column(&leaf.column_path().parts()[0]).expect("a column");
        let is_picture = column.column_type == T::Images;
        assert_eq!(leaf.compression() == Compression::UNCOMPRESSED, is_picture);
        let is_told =
            matches!(column.column_type, T::Utf8 | T::UInt32 | T::UInt64 | T::Float32 | T::Float64);
        assert_eq!(leaf.statistics().is_some(), is_told, "{}", column.name);
        let has_dictionary = leaf.dictionary_page_offset().is_some();
        assert_eq!(has_dictionary, column.column_type == T::Utf8, "{}", column.name);
    }
}
