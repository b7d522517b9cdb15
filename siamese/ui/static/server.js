// Calls to the server.

export class UserError extends Error {}

// One call to the server; a refusal becomes an exception whose text is a sentence for the visitor.
export const ask = async (server, name, payload = {}) => {
  let answer;
  try {
    answer = await server[name](payload);
  } catch {
    throw new UserError("The server did not answer. Please try again in a moment.");
  }
  if (!answer || typeof answer !== "object") throw new UserError("The server could not take this. Please try again.");
  if (answer.error)
    throw Object.assign(new UserError(answer.error), {
      lasting: answer.lasting === true,
    });
  return answer;
};

// What was asked for; null where `isWanted` says that nobody waits for it any more, and no refusal is told then.
export const inTime = async (asked, isWanted) => {
  try {
    const answer = await asked;
    return isWanted() ? answer : null;
  } catch (error) {
    if (isWanted()) throw error;
    return null;
  }
};
