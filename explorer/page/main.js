// The page of the server.

import { start } from "./page.js";
import { serverAnswers } from "./server.js";

start(serverAnswers);
