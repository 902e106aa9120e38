//! What is asked of the server, before and around s3s-fs: all that this lacks, or does otherwise than S3 and R2.
//!
//! Invariants
//! * A condition is looked at and what hangs on it done as one: nobody comes between.
//! * A body is complete before anything of it is stored.
//! * All parts of an object but the last have the same length, as R2 wants it.
//! * A bucket that is missing is said, and never made by an object.
use crate::server::{Made, Shared};
use futures_util::StreamExt;
use hyper::body::Bytes;
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

type Asked<T> = S3Request<T>;
type Answered<T> = S3Result<S3Response<T>>;

/// An upload in parts: what it is to become, and the length and tag of each part that came.
struct Upload {
    bucket: String,
    name: String,
    parts: BTreeMap<i32, (u64, Option<ETag>)>,
}

/// Room that is made for a body before it comes: no single request has more.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Locks of all objects.
const LOCKS: usize = 64;

#[derive(Clone)]
pub(crate) struct Door(Arc<Inner>);

struct Inner {
    objects: FileSystem,
    shared: Arc<Shared>,
    /// Held alone by whoever changes an object, by its name: of two with one lock, one waits for nothing.
    changing: [RwLock<()>; LOCKS],
    uploads: Mutex<BTreeMap<String, Upload>>,
}

impl Door {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let objects = FileSystem::new(&shared.root).unwrap();
        Self(Arc::new(Inner {
            objects,
            shared: Arc::clone(shared),
            changing: std::array::from_fn(|_| RwLock::default()),
            uploads: Mutex::default(),
        }))
    }

    pub(crate) fn unfinished(&self) -> usize {
        self.uploads().len()
    }

    /// The number of an object's lock.
    fn lock_of(bucket: &str, name: &str) -> usize {
        let hash = bucket
            .bytes()
            .chain(name.bytes())
            .fold(0usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        hash % LOCKS
    }

    /// Waits until nobody reads or changes an object.
    async fn alone(&self, bucket: &str, name: &str) -> RwLockWriteGuard<'_, ()> {
        self.0.changing[Self::lock_of(bucket, name)].write().await
    }

    /// Waits until nobody changes an object.
    async fn still(&self, bucket: &str, name: &str) -> RwLockReadGuard<'_, ()> {
        self.0.changing[Self::lock_of(bucket, name)].read().await
    }

    fn uploads(&self) -> MutexGuard<'_, BTreeMap<String, Upload>> {
        self.0.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_bucket(&self, bucket: &str) -> S3Result<()> {
        let is_there = self.0.shared.root.join(bucket).is_dir();
        if is_there { Ok(()) } else { Err(s3_error!(NoSuchBucket, "The specified bucket does not exist")) }
    }

    fn has_object(&self, bucket: &str, name: &str) -> S3Result<()> {
        self.has_bucket(bucket)?;
        let is_there = self.0.shared.root.join(bucket).join(name).is_file();
        if is_there { Ok(()) } else { Err(s3_error!(NoSuchKey, "The specified key does not exist.")) }
    }

    /// The part lengths of an upload whose parts are those that are named, and fit together.
    fn fitting(&self, id: &str, named: &[CompletedPart]) -> S3Result<Vec<u64>> {
        let uploads = self.uploads();
        let upload = uploads.get(id).ok_or_else(|| s3_error!(NoSuchUpload))?;
        let part = |part: &CompletedPart| {
            let (len, tag) = upload.parts.get(&part.part_number?)?;
            (*tag == part.e_tag).then_some(*len)
        };
        let lens: Option<Vec<u64>> = named.iter().map(part).collect();
        let lens = lens.ok_or_else(|| s3_error!(InvalidPart, "A part that is named did not come"))?;
        let (first, last) = (lens.first().copied().unwrap_or(0), lens.last().copied().unwrap_or(0));
        if lens.iter().rev().skip(1).any(|len| *len != first) || last > first {
            return Err(s3_error!(InvalidPart, "All parts but the last are to have the same length"));
        }
        Ok(lens)
    }
}

/// All of a body, which has to be as long as was said.
async fn whole(body: Option<StreamingBlob>, len: Option<i64>) -> S3Result<Bytes> {
    let mut body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
    let mut bytes = Vec::with_capacity(len.and_then(|len| usize::try_from(len).ok()).unwrap_or(0).min(BODY_BYTES_MAX));
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(|_| s3_error!(IncompleteBody))?);
    }
    if len.is_some_and(|len| len as u64 != bytes.len() as u64) {
        return Err(s3_error!(IncompleteBody));
    }
    Ok(bytes.into())
}

/// Where `bytes 5-9/20` begins.
fn first_byte(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

/// So many bytes of a file.
async fn part(path: PathBuf, from: u64, len: usize) -> S3Result<Bytes> {
    let read = move || {
        let mut bytes = vec![0; len];
        File::open(path)?.read_exact_at(&mut bytes, from)?;
        Ok::<_, std::io::Error>(bytes.into())
    };
    let read = tokio::task::spawn_blocking(read).await.map_err(|e| s3_error!(InternalError, "{e}"))?;
    read.map_err(|e| s3_error!(InternalError, "{e}"))
}

fn stream(bytes: Bytes) -> StreamingBlob {
    StreamingBlob::wrap(futures_util::stream::iter([Ok::<_, std::io::Error>(bytes)]))
}

#[async_trait::async_trait]
impl S3 for Door {
    async fn put_object(&self, mut asked: Asked<PutObjectInput>) -> Answered<PutObjectOutput> {
        let input = &mut asked.input;
        self.has_bucket(&input.bucket)?;
        let bytes = whole(input.body.take(), input.content_length).await?;
        let made = Made { bucket: input.bucket.clone(), name: input.key.clone(), parts: Vec::new() };
        input.body = Some(stream(bytes));
        let _alone = self.alone(&made.bucket, &made.name).await;
        let answer = self.0.objects.put_object(asked).await?;
        self.0.shared.note(made);
        Ok(answer)
    }

    async fn get_object(&self, asked: Asked<GetObjectInput>) -> Answered<GetObjectOutput> {
        self.has_object(&asked.input.bucket, &asked.input.key)?;
        let _still = self.still(&asked.input.bucket, &asked.input.key).await;
        let wanted = asked.input.if_match.clone();
        let path = self.0.shared.root.join(&asked.input.bucket).join(&asked.input.key);
        let mut answer = self.0.objects.get_object(asked).await?;
        if let (Some(ETagCondition::ETag(wanted)), Some(tag)) = (&wanted, &answer.output.e_tag)
            && !wanted.strong_cmp(tag)
        {
            return Err(s3_error!(PreconditionFailed));
        }
        // As it has it, a body would come in thousands of pieces, and a server would be measured by that.
        let from = answer.output.content_range.as_deref().and_then(first_byte).unwrap_or(0);
        let len = answer.output.content_length.unwrap_or(0) as usize;
        answer.output.body = Some(stream(part(path, from, len).await?));
        Ok(answer)
    }

    async fn head_object(&self, asked: Asked<HeadObjectInput>) -> Answered<HeadObjectOutput> {
        self.has_object(&asked.input.bucket, &asked.input.key)?;
        let _still = self.still(&asked.input.bucket, &asked.input.key).await;
        self.0.objects.head_object(asked).await
    }

    async fn head_bucket(&self, asked: Asked<HeadBucketInput>) -> Answered<HeadBucketOutput> {
        self.0.objects.head_bucket(asked).await
    }

    async fn delete_object(&self, asked: Asked<DeleteObjectInput>) -> Answered<DeleteObjectOutput> {
        let _alone = self.alone(&asked.input.bucket, &asked.input.key).await;
        let mut answer = self.0.objects.delete_object(asked).await?;
        answer.status = Some(hyper::StatusCode::NO_CONTENT);
        Ok(answer)
    }

    async fn delete_objects(&self, asked: Asked<DeleteObjectsInput>) -> Answered<DeleteObjectsOutput> {
        self.has_bucket(&asked.input.bucket)?;
        let named = &asked.input.delete.objects;
        let mut locks: Vec<usize> =
            named.iter().map(|object| Self::lock_of(&asked.input.bucket, &object.key)).collect();
        // In one order, so that two do not wait for one another.
        locks.sort_unstable();
        locks.dedup();
        let mut _alone = Vec::new();
        for lock in locks {
            _alone.push(self.0.changing[lock].write().await);
        }
        self.0.objects.delete_objects(asked).await
    }

    async fn list_objects_v2(&self, mut asked: Asked<ListObjectsV2Input>) -> Answered<ListObjectsV2Output> {
        let page = i32::try_from(self.0.shared.page_names.load(Ordering::Relaxed)).unwrap_or(i32::MAX);
        asked.input.max_keys = Some(asked.input.max_keys.unwrap_or(page).min(page));
        self.0.objects.list_objects_v2(asked).await
    }

    async fn create_multipart_upload(
        &self,
        asked: Asked<CreateMultipartUploadInput>,
    ) -> Answered<CreateMultipartUploadOutput> {
        let (bucket, name) = (asked.input.bucket.clone(), asked.input.key.clone());
        self.has_bucket(&bucket)?;
        let answer = self.0.objects.create_multipart_upload(asked).await?;
        let id = answer.output.upload_id.clone().unwrap_or_default();
        self.uploads().insert(id, Upload { bucket, name, parts: BTreeMap::new() });
        Ok(answer)
    }

    async fn upload_part(&self, mut asked: Asked<UploadPartInput>) -> Answered<UploadPartOutput> {
        let input = &mut asked.input;
        let (id, number) = (input.upload_id.clone(), input.part_number);
        if !self.uploads().contains_key(&id) {
            return Err(s3_error!(NoSuchUpload));
        }
        let bytes = whole(input.body.take(), input.content_length).await?;
        let len = bytes.len() as u64;
        input.body = Some(stream(bytes));
        let answer = self.0.objects.upload_part(asked).await?;
        if let Some(upload) = self.uploads().get_mut(&id) {
            upload.parts.insert(number, (len, answer.output.e_tag.clone()));
        }
        Ok(answer)
    }

    async fn complete_multipart_upload(
        &self,
        asked: Asked<CompleteMultipartUploadInput>,
    ) -> Answered<CompleteMultipartUploadOutput> {
        let id = asked.input.upload_id.clone();
        let _alone = self.alone(&asked.input.bucket, &asked.input.key).await;
        let named = asked.input.multipart_upload.as_ref().and_then(|upload| upload.parts.as_deref());
        let parts = self.fitting(&id, named.unwrap_or_default())?;
        let answer = self.0.objects.complete_multipart_upload(asked).await?;
        if let Some(upload) = self.uploads().remove(&id) {
            self.0.shared.note(Made { bucket: upload.bucket, name: upload.name, parts });
        }
        Ok(answer)
    }

    async fn abort_multipart_upload(
        &self,
        asked: Asked<AbortMultipartUploadInput>,
    ) -> Answered<AbortMultipartUploadOutput> {
        if self.uploads().remove(&asked.input.upload_id).is_none() {
            return Err(s3_error!(NoSuchUpload));
        }
        self.0.objects.abort_multipart_upload(asked).await
    }
}
