//! Lists, which the service returns page by page.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fmt;
use std::future::poll_fn;
use std::hash::BuildHasher as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;

use futures_core::Stream;

use super::error::ClientError;

/// More than any project has. A service that never ends is stopped here.
const MAX_PAGES: usize = 10_000;

/// How much [`Listing::collect`] keeps.
const MAX_COLLECTED: usize = 100_000;

/// One page of a list, and the token of the next.
#[derive(Clone, Debug)]
pub struct Page<T> {
    items: Vec<T>,
    next: Option<String>,
}

impl<T> Page<T> {
    pub(super) fn new(items: Vec<T>, next: Option<String>) -> Self {
        Self {
            items,
            next: next.filter(|token| !token.is_empty()),
        }
    }

    /// Returns the items of this page. It may be empty even if another page follows.
    #[must_use]
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// Returns the items of this page by value.
    #[must_use]
    pub fn into_items(self) -> Vec<T> {
        self.items
    }

    /// Returns the token of the next page, or `None` if this is the last one.
    ///
    /// The token is opaque, and may contain control characters and line breaks.
    #[must_use]
    pub fn next_page_token(&self) -> Option<&str> {
        self.next.as_deref()
    }
}

pub(super) type PageFuture<T> = Pin<Box<dyn Future<Output = Result<Page<T>, ClientError>> + Send>>;

/// A list over all pages, which are fetched as they are needed.
///
/// It is a [`Stream`] of `Result<T, ClientError>`, and has a [`next`](Self::next) of its own, which
/// needs no other crate. It ends after the first error, and with an error if the service leads it in a
/// circle, or to more than 10 000 pages.
///
/// The [deadline](super::WebhookServiceBuilder::deadline) of a call is that of each page. The list as
/// a whole has none: where that matters, put a time-out around what reads it.
#[must_use = "a list fetches nothing until it is asked for its items"]
pub struct Listing<T> {
    call: &'static str,
    fetch: Box<dyn FnMut(Option<String>) -> PageFuture<T> + Send>,
    items: vec::IntoIter<T>,
    step: Step<T>,
    /// Hashes of the tokens that were followed. A page is of any length, and so is its token.
    seen: HashSet<u64>,
    hasher: RandomState,
    max_pages: usize,
}

enum Step<T> {
    /// The page of this token comes next.
    Due(Option<String>),
    /// A page is being fetched.
    Fetching(PageFuture<T>),
    /// There are no more.
    Done,
}

impl<T> Listing<T> {
    pub(super) fn new(
        call: &'static str,
        fetch: impl FnMut(Option<String>) -> PageFuture<T> + Send + 'static,
    ) -> Self {
        Self {
            call,
            fetch: Box::new(fetch),
            items: Vec::new().into_iter(),
            step: Step::Due(None),
            seen: HashSet::new(),
            hasher: RandomState::new(),
            max_pages: MAX_PAGES,
        }
    }

    /// Fails instead of fetching more pages than this.
    pub(super) fn at_most(mut self, pages: usize) -> Self {
        self.max_pages = pages;
        self
    }

    /// The next item, or `None` at the end of the list.
    ///
    /// It is cancel safe: if you drop the future, no item is lost.
    pub async fn next(&mut self) -> Option<Result<T, ClientError>> {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// All the items that are left, up to 100 000, which are in memory together. Read a longer list
    /// item by item.
    ///
    /// # Errors
    ///
    /// As of the call for one page; of the kind [`Decode`](super::ClientErrorKind::Decode) if there
    /// are more.
    pub async fn collect(mut self) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        while let Some(item) = self.next().await {
            if items.len() == MAX_COLLECTED {
                return Err(self.endless(format!("it has more than {MAX_COLLECTED} items")));
            }
            items.push(item?);
        }
        Ok(items)
    }

    fn endless(&self, why: String) -> ClientError {
        ClientError::unreadable(self.call, format!("the list is too long: {why}"))
    }

    /// Whether the page behind this token may be fetched.
    fn follow(&mut self, token: &str) -> Result<(), ClientError> {
        if !self.seen.insert(self.hasher.hash_one(token)) {
            let circle = "a token of a page came a second time, so it does not end";
            return Err(self.endless(circle.to_owned()));
        }
        if self.seen.len() >= self.max_pages {
            return Err(self.endless(format!("it has more than {} pages", self.max_pages)));
        }
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, ClientError>>> {
        loop {
            if let Some(item) = self.items.next() {
                return Poll::Ready(Some(Ok(item)));
            }
            match &mut self.step {
                Step::Done => return Poll::Ready(None),
                Step::Due(token) => {
                    let page = (self.fetch)(token.take());
                    self.step = Step::Fetching(page);
                }
                Step::Fetching(page) => {
                    let page = ready!(page.as_mut().poll(cx));
                    // Whatever comes of this page, it is not asked for again.
                    self.step = Step::Done;
                    let Page { items, next } = match page {
                        Ok(page) => page,
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    };
                    if let Some(token) = next {
                        if let Err(error) = self.follow(&token) {
                            return Poll::Ready(Some(Err(error)));
                        }
                        self.step = Step::Due(Some(token));
                    }
                    self.items = items.into_iter();
                }
            }
        }
    }
}

// Nothing in it is pinned but what is in a box.
impl<T> Unpin for Listing<T> {}

impl<T> Stream for Listing<T> {
    type Item = Result<T, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}

impl<T> fmt::Debug for Listing<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listing")
            .field("call", &self.call)
            .field("pages", &self.seen.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What each token leads to.
    type Pages = Vec<(Option<&'static str>, Result<Page<u32>, &'static str>)>;

    fn page(items: &[u32], next: Option<&str>) -> Result<Page<u32>, &'static str> {
        Ok(Page::new(items.to_vec(), next.map(str::to_owned)))
    }

    async fn run(pages: Pages) -> (Vec<Result<u32, String>>, Vec<Option<String>>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut listing = Listing::new("list", {
            let asked = Arc::clone(&asked);
            move |token: Option<String>| -> PageFuture<u32> {
                asked.lock().unwrap().push(token.clone());
                let found = pages.iter().find(|(of, _)| *of == token.as_deref());
                let page = found.unwrap().1.clone();
                Box::pin(async move {
                    tokio::task::yield_now().await;
                    page.map_err(|error| ClientError::refused("list", error))
                })
            }
        });
        let mut items = Vec::new();
        while let Some(item) = listing.next().await {
            items.push(item.map_err(|error| error.to_string()));
        }
        assert!(listing.next().await.is_none(), "it stays at its end");
        let asked = asked.lock().unwrap().clone();
        (items, asked)
    }

    #[tokio::test]
    async fn all_pages_are_gone_through() {
        let odd = "a\n\u{8}b";
        let (items, asked) = run(vec![
            (None, page(&[1, 2], Some(odd))),
            (Some(odd), page(&[], Some("c"))),
            (Some("c"), page(&[3], None)),
        ])
        .await;
        assert_eq!(items, [Ok(1), Ok(2), Ok(3)]);
        assert_eq!(asked, [None, Some(odd.to_owned()), Some("c".to_owned())]);

        let (items, asked) = run(vec![(None, page(&[], Some("")))]).await;
        assert_eq!((items.len(), asked.len()), (0, 1), "an empty token is none");
    }

    #[tokio::test]
    async fn an_error_ends_it_and_so_does_a_circle() {
        let (items, asked) = run(vec![(None, page(&[1], Some("b"))), (Some("b"), Err("no"))]).await;
        assert_eq!(items, [Ok(1), Err("list failed: no".to_owned())]);
        assert_eq!(asked.len(), 2);

        for last in ["b", "c"] {
            let (items, asked) = run(vec![
                (None, page(&[1], Some("b"))),
                (Some("b"), page(&[], Some("c"))),
                (Some("c"), page(&[], Some(last))),
            ])
            .await;
            let error = items[1].as_ref().unwrap_err();
            assert!(error.contains("came a second time"), "{items:?}");
            assert_eq!(asked.len(), 3, "nothing is asked for twice");
        }
    }

    /// Always another page, of so many items.
    fn endless(items: usize) -> Listing<usize> {
        let mut page = 0;
        Listing::new("list", move |_| {
            page += 1;
            let page = Page::new(vec![0; items], Some(format!("{page}")));
            Box::pin(async move { Ok(page) })
        })
    }

    #[tokio::test]
    async fn what_never_ends_is_stopped() {
        let mut pages = endless(0).at_most(3);
        let error = pages.next().await.unwrap().unwrap_err().to_string();
        assert!(error.contains("more than 3 pages"), "{error}");
        let error = endless(0).collect().await.unwrap_err().to_string();
        assert!(error.contains("more than 10000 pages"), "{error}");
        let error = endless(30_000).collect().await.unwrap_err().to_string();
        assert!(error.contains("more than 100000 items"), "{error}");
    }
}
