"""MovieLens-1M's three files: what is made of good ones, and what is said of bad ones."""

import pytest
from reprise.data.readers import movielens, movielens_1m, reader
from reprise.errors import RepriseError

RATINGS = b"2::10::5::978300760\n2::7::1::978302109\n1::10::3::978301968\n"
# Out of order, with a title that holds the separator, one in Latin-1 and one that nobody rated.
MOVIES = b"10::Alien :: Part 2 (1990)::Sci-Fi|Action\n7::Mis\xe9rables, Les (1995)::Drama\n3::a::b::Western\n"
USERS = b"2::M::56::16::70072\n1::F::1::0::98107-2117\n"


def files(folder, **other):
    (folder / "ml-1m").mkdir()
    for name, text in {"ratings": RATINGS, "movies": MOVIES, "users": USERS, **other}.items():
        if text is not None:
            (folder / f"ml-1m/{name}.dat").write_bytes(text)
    return folder


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_movies_and_users_stand_as_in_their_files(tmp_path, end):
    texts = {"ratings": RATINGS, "movies": MOVIES, "users": USERS}
    tables = reader("movielens_1m")(files(tmp_path, **{k: text.replace(b"\n", end) for k, text in texts.items()}))
    assert tables.interactions.to_numpy().tolist() == [
        [2, 10, 978300760, 5], [2, 7, 978302109, 1], [1, 10, 978301968, 3]]
    assert tables.items["item"].tolist() == [10, 7, 3]
    assert tables.items["title"].tolist() == ["Alien :: Part 2 (1990)", "Mis\u00e9rables, Les (1995)", "a::b"]
    genres = tables.facts["genres"]
    assert [[genres[place] for place in row] for row in tables.items["genres"]] == [
        ["Sci-Fi", "Action"], ["Drama"], ["Western"]]
    assert len(genres) == 18 and list(genres) == sorted(genres) and tables.facts["movies_without_rating"] == 1
    assert tables.users.astype(object).to_numpy().tolist() == [[2, "M", 56, 16, "70072"], [1, "F", 1, 0, "98107-2117"]]
    assert tables.files == ("ml-1m/ratings.dat", "ml-1m/movies.dat", "ml-1m/users.dat")


@pytest.mark.parametrize(("name", "line", "found"), [
    ("movies", b"11::Title (1990)::Drama|Kung Fu", "genre 'Kung Fu'"),
    ("movies", b"11::Title (1990)::Drama|Drama", "a genre twice"),
    ("movies", b"11::Title (1990)::", "'11::Title (1990)::'"),
    ("movies", b"11::Drama", "'11::Drama'"),
    ("movies", b"x::Title::Drama", "'x::Title::Drama'"),
    ("movies", b"11::Ti\x00tle::Drama", r"'11::Ti\x00tle::Drama'"),
    ("movies", b"10::Again::Drama", "id 10 for a second time"),
    ("movies", b"", "an empty line"),
    ("users", b"3::X::25::1::12345", "'3::X::25::1::12345'"),
    ("users", b"3::M::25::1", "'3::M::25::1'"),
    ("users", b"3::M::young::1::12345", "'3::M::young::1::12345'"),
    ("users", b"2::M::25::1::12345", "id 2 for a second time"),
])
def test_a_malformed_line_is_named(tmp_path, name, line, found):
    good = {"movies": MOVIES, "users": USERS}[name]
    number = good.count(b"\n") + 1
    with pytest.raises(RepriseError) as caught:
        movielens_1m.read(files(tmp_path, **{name: good + line + b"\n"}))
    assert caught.value.where == f"{tmp_path}/ml-1m/{name}.dat, line {number}"
    assert caught.value.found.startswith(found)


@pytest.mark.parametrize("rating", [b"0", b"6", b"5.5", b"3.7", b"55"])
@pytest.mark.parametrize("module", [movielens, movielens_1m])
def test_a_rating_off_the_scale_is_named(tmp_path, module, rating):
    line = b"1::7::" + rating + b"::978301968"
    with pytest.raises(RepriseError, match=r"ratings\.dat, line 4") as caught:
        module.read(files(tmp_path, ratings=RATINGS + line + b"\n"))
    assert caught.value.found == repr(line.decode())


@pytest.mark.parametrize(("line", "found"), [
    (b"1::11::5::978301968\n", "1 others, e.g. item 11"), (b"5::10::5::978301968\n", "1 others, e.g. user 5")])
def test_a_rating_of_nothing_or_by_nobody_is_named(tmp_path, line, found):
    with pytest.raises(RepriseError, match=r"ratings\.dat") as caught:
        movielens_1m.read(files(tmp_path, ratings=RATINGS + line))
    assert caught.value.found == found


@pytest.mark.parametrize("name", ["ratings", "movies", "users"])
@pytest.mark.parametrize(("text", "found"), [(b"", "an empty file"), (None, "no such file")])
def test_an_empty_or_missing_file_is_named(tmp_path, name, text, found):
    with pytest.raises(RepriseError, match=name) as caught:
        movielens_1m.read(files(tmp_path, **{name: text}))
    assert caught.value.found == found
