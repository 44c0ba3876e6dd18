"""Where bars and facts come in: feeds, contracts, quality, features, news."""
