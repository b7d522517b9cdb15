// A visitor's own classes, kept in this browser's IndexedDB. Where that cannot be used, nothing is kept.

const DATABASE = "one-look";
const STORE = "own-classes";
const KEY = "set";

const promised = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

const store = async (mode) => {
  const opening = indexedDB.open(DATABASE, 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
  const database = await promised(opening);
  database.onversionchange = () => database.close();
  return database.transaction(STORE, mode).objectStore(STORE);
};

const isClass = (one) =>
  typeof one?.name === "string" && typeof one.picture === "string" && one.picture.startsWith("data:image/");

// The classes of the last visit, none where there are none or they cannot be read.
export const loadClasses = async () => {
  try {
    const found = await promised((await store("readonly")).get(KEY));
    return Array.isArray(found) ? found.filter(isClass) : [];
  } catch {
    return [];
  }
};

// Whether they were kept.
export const saveClasses = async (classes) => {
  try {
    const place = await store("readwrite");
    await promised(classes.length ? place.put(classes, KEY) : place.delete(KEY));
    return true;
  } catch {
    return false; // private mode, or no room
  }
};
