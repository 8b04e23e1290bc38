import { listRoutes } from '../routes.ts'

// Prints every route with who may call it. The same list is kept in `routes.txt`, and a test
// compares the two, so that a new door is seen in review.
console.log(await listRoutes())
